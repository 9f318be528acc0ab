/* main.c: finds the command, reads its options, gives it a context, and turns the outcome into an
 * exit code.
 *
 * SIGINT, SIGTERM, SIGHUP and SIGUSR1 (which mpirun and Slurm pass on) ask the library to stop soon
 * with its files whole; a second one ends the process at once.  SIGPIPE and SIGXFSZ are ignored:
 * writes then fail with a reason, which is reported like any other. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "generated.h"
#include "help.h"
#include "session.h"

const tool_command *const commands[] = {
    &command_train,    &command_prepare,    &command_merge, &command_encode,   &command_decode,
    &command_compress, &command_decompress, &command_quantize, &command_eval, &command_generate,
    &command_codebook, &command_info,
};
const size_t n_commands = sizeof commands / sizeof *commands;

const tool_command *command_find(const char *name) {
    for (size_t i = 0; i < n_commands; ++i) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    }
    return NULL;
}

const char *command_word(const tool_command *command) {
    const char *space = strrchr(command->name, ' ');
    return space ? space + 1 : command->name;
}

const tool_command *command_find_in(const tool_command *group, const char *word) {
    for (size_t i = 0; i < group->n_subcommands; ++i) {
        if (strcmp(command_word(group->subcommands[i]), word) == 0) return group->subcommands[i];
    }
    return NULL;
}

const tool_command *command_leaf(size_t i) {
    for (size_t c = 0; c < n_commands; ++c) {
        const size_t n = commands[c]->subcommands ? commands[c]->n_subcommands : 1;
        if (i < n) return commands[c]->subcommands ? commands[c]->subcommands[i] : commands[c];
        i -= n;
    }
    return NULL;
}

/* ---- signals ---- */

static isb_context *volatile interrupted_context; /* what a signal stops; NULL: nothing runs yet */
static volatile sig_atomic_t n_interrupts;

static void on_interrupt(int number) {
    (void)number;
    isb_context *context = interrupted_context;
    if (!context || n_interrupts++ > 0) _exit(EXIT_INTERRUPTED);
    isb_context_cancel(context);
}

static void install_signals(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN},
                     stop = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART}, old;
    static const int stopping[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    for (size_t i = 0; i < sizeof stopping / sizeof *stopping; ++i) {
        /* nohup and shells that start jobs in the background ignore some on purpose. */
        if (sigaction(stopping[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaction(stopping[i], &stop, NULL);
        }
    }
}

/* ---- standard streams ---- */

/* A closed standard stream would give its number to the next file that is opened, and results would
 * be written into it: put something there that only fails. */
static void hold_standard_streams(void) {
    for (int fd = 0; fd <= 2; ++fd) {
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}

/* A full disk or a closed pipe may show only now. */
static int close_stdout(int code) {
    const int had_error = ferror(stdout);
    if (fflush(stdout) == 0 && !had_error) return code;
    if (code != EXIT_OK) return code;
    const int reason = errno;
    return error_at(NULL, error_from_errno(), "cannot write to standard output: %s",
                    strerror(reason));
}

/* ---- running a command ---- */

static int create_context(tool_session *session) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = (int)session->common->threads;
    options.cpu = session->common->cpu;
    options.log = progress_log;
    options.log_user = &session->progress;
    options.progress = progress_report;
    options.progress_user = &session->progress;
    const isb_status status = isb_context_create(&options, &session->context);
    if (status == ISB_OK) return 0;
    if (status == ISB_ERR_NO_MEMORY) return error_at(NULL, status, "no memory to start");
    return error_exit_code(status); /* the log has said why */
}

static int run_parsed(const tool_command *command, parsed_options *parsed, void *values) {
    const common_values *common = values;
    if (common->help) {
        help_command(stdout, command);
        return EXIT_OK;
    }
    tool_session session = {.command = command, .common = common, .parsed = parsed};
    progress_init(&session.progress, common->quiet != 0, common->verbose != 0);
    int code = create_context(&session);
    if (code == 0) {
        interrupted_context = session.context;
        code = command->run(&session, values);
        progress_clear(&session.progress);
        interrupted_context = NULL;
    }
    isb_context_free(session.context);
    return code;
}

static int run_command(const tool_command *command, int argc, char **argv) {
    void *values = calloc(1, command->values_nbytes);
    if (!values) return error_at(command->name, ISB_ERR_NO_MEMORY, "no memory for the options");
    parsed_options parsed;
    int code = options_parse(&parsed, command, argc, argv, values);
    if (code == 0) code = run_parsed(command, &parsed, values);
    options_free(&parsed);
    free(values);
    return code;
}

static int unknown_command(const char *name) {
    const char *names[16] = {"help", "--help", "--version"};
    size_t n = 3;
    for (size_t i = 0; i < n_commands; ++i) names[n++] = commands[i]->name;
    const char *near = format_suggest(name, names, n);
    const char *kind = *name == '-' ? "option" : "command";
    if (near) return error_usage(NULL, "unknown %s \"%s\"; did you mean \"%s\"?", kind, name, near);
    return error_usage(NULL, "unknown %s \"%s\"", kind, name);
}

static bool asks_for_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* isobit codebook build ...: argv[0] is the group's name. */
static int run_group(const tool_command *group, int argc, char **argv) {
    if (argc < 2) {
        help_command(stderr, group);
        return EXIT_USAGE;
    }
    if (asks_for_help(argv[1])) {
        help_command(stdout, group);
        return EXIT_OK;
    }
    const tool_command *command = command_find_in(group, argv[1]);
    if (command) return run_command(command, argc - 1, argv + 1);
    const char *near = help_suggest_in(group, argv[1]);
    if (near) {
        return error_usage(group->name, "unknown command \"%s\"; did you mean \"%s\"?", argv[1],
                           near);
    }
    return error_usage(group->name, "unknown command \"%s\"", argv[1]);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        help_overview(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("isobit %s\n", isb_version());
        return EXIT_OK;
    }
    if (asks_for_help(name)) {
        return argc > 2 ? help_topic(argv[2], argv[3]) : (help_overview(stdout), EXIT_OK);
    }
    if (strcmp(name, "--generate") == 0) return generated_main(argc - 2, argv + 2);
    const tool_command *command = command_find(name);
    if (!command) return unknown_command(name);
    return (command->subcommands ? run_group : run_command)(command, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
    hold_standard_streams();
    install_signals();
    return close_stdout(dispatch(argc, argv));
}
