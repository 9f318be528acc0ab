/* Signs of life.  A message is one number: a sign, a farewell, or the rank that was lost. */
#include "comm/watch.h"

#include <time.h>

enum { WATCH_TAG = 2, SIGN = -1, FAREWELL = -2, NOBODY = -1 };
#define PERIOD_S 1.0
#define CLOSING_PERIOD_S 0.002
#define TELLING_S 3.0 /* for which the lost one is told of */

typedef struct peer {
    int rank;
    int32_t in, out;
    isb__request receive, send;
    bool sending, gone; /* gone: said farewell */
    double heard_s;
} peer;

struct isb__watch {
    isb_context *ctx;
    const isb__transport *link;
    pthread_mutex_t *lock; /* of the link */
    double timeout_s, last_s, send_s, closing_s;
    size_t n_peers;
    peer *peers; /* rank 0: all others; the others: rank 0 */
    atomic_int lost;
    pthread_t thread;
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool closing; /* under wake_lock */
};

static void listen_to(isb__watch *w, peer *p) {
    w->link->receive(p->rank, WATCH_TAG, &p->in, sizeof p->in, &p->receive);
}

static bool is_done(const isb__watch *w, isb__request *request) {
    int done = 0;
    return w->link->test(1, request, &done) == 0 && done;
}

static void hear(isb__watch *w, peer *p, double now) {
    while (!p->gone && is_done(w, &p->receive)) {
        p->heard_s = now;
        p->gone = p->in == FAREWELL;
        if (p->in >= 0) atomic_store(&w->lost, p->in);
        if (!p->gone) listen_to(w, p);
    }
    if (now - p->heard_s > w->timeout_s && atomic_load(&w->lost) == NOBODY)
        atomic_store(&w->lost, p->rank);
}

static void speak(isb__watch *w, peer *p, bool closing) {
    const int lost = atomic_load(&w->lost);
    if (p->sending && !is_done(w, &p->send)) return;
    p->sending = false;
    if (p->out == FAREWELL || (lost != NOBODY && p->out == lost)) return; /* all is said */
    p->out = lost != NOBODY ? lost : closing ? FAREWELL : SIGN;
    p->sending = w->link->send(p->rank, WATCH_TAG, &p->out, sizeof p->out, &p->send) == 0;
}

/* One round.  Where this process itself was stopped for a while, nobody else was silent. */
static void beat(isb__watch *w, bool closing) {
    const double now = isb__now_s(), gap = now - w->last_s;
    const bool speaks = closing || now >= w->send_s || atomic_load(&w->lost) != NOBODY;
    w->last_s = now;
    if (speaks) w->send_s = now + PERIOD_S;
    for (size_t i = 0; i < w->n_peers; ++i) {
        peer *p = &w->peers[i];
        if (gap > 3 * PERIOD_S) p->heard_s += gap;
        hear(w, p, now);
        if (speaks) speak(w, p, closing);
    }
}

/* All that there is to say was said, and heard. */
static bool is_over(isb__watch *w) {
    const int lost = atomic_load(&w->lost);
    if (lost != NOBODY && isb__now_s() > w->closing_s + TELLING_S) return true;
    for (size_t i = 0; i < w->n_peers; ++i) {
        const peer *p = &w->peers[i];
        if (p->rank == lost) continue;
        if (p->sending || (lost == NOBODY ? !p->gone || p->out != FAREWELL : p->out != lost))
            return false;
    }
    return true;
}

static bool wait_period(isb__watch *w, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double end = (double)until.tv_nsec * 1e-9 + seconds;
    until.tv_sec += (time_t)end;
    until.tv_nsec = (long)((end - (double)(time_t)end) * 1e9);
    pthread_mutex_lock(&w->wake_lock);
    const bool was_closing = w->closing;
    int result = 0;
    while (result == 0 && w->closing == was_closing)
        result = pthread_cond_timedwait(&w->wake, &w->wake_lock, &until);
    const bool closing = w->closing;
    pthread_mutex_unlock(&w->wake_lock);
    return closing;
}

static void *run(void *arg) {
    isb__watch *w = arg;
    for (bool closing = false, over = false; !over;) {
        pthread_mutex_lock(w->lock);
        beat(w, closing);
        over = closing && is_over(w);
        pthread_mutex_unlock(w->lock);
        if (over) break;
        closing = wait_period(w, closing ? CLOSING_PERIOD_S : PERIOD_S / 4);
        if (closing && w->closing_s == 0) w->closing_s = isb__now_s();
    }
    return NULL;
}

static void start_peers(isb__watch *w) {
    w->last_s = isb__now_s();
    pthread_mutex_lock(w->lock);
    for (size_t i = 0; i < w->n_peers; ++i) {
        peer *p = &w->peers[i];
        *p = (peer){.rank = w->link->rank == 0 ? (int)i + 1 : 0, .out = SIGN, .heard_s = w->last_s};
        listen_to(w, p);
    }
    pthread_mutex_unlock(w->lock);
}

static isb_status start_thread(isb__watch *w) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&w->wake_lock, NULL);
    const int error = pthread_create(&w->thread, NULL, run, w);
    if (error == 0) return ISB_OK;
    return isb__fail(w->ctx, ISB_ERR_THREAD, "cannot start the thread that sends signs of life");
}

isb_status isb__watch_start(isb_context *ctx, const isb__transport *transport,
                            pthread_mutex_t *lock, double timeout_s, isb__watch **watch) {
    isb__watch *w = NULL;
    isb_status status = ISB_OK;
    *watch = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *w, &w));
    w->ctx = ctx;
    w->link = transport;
    w->lock = lock;
    w->timeout_s = timeout_s;
    w->n_peers = transport->rank == 0 ? (size_t)transport->size - 1 : 1;
    atomic_init(&w->lost, NOBODY);
    ISB_TRY_GOTO(isb__alloc_array(ctx, w->n_peers, sizeof *w->peers, &w->peers));
    start_peers(w);
    ISB_TRY_GOTO(start_thread(w));
    *watch = w;
    return ISB_OK;
fail:
    isb__free(ctx, w->peers);
    isb__free(ctx, w);
    return status;
}

int isb__watch_lost(const isb__watch *w) { return atomic_load(&((isb__watch *)w)->lost); }

void isb__watch_stop(isb__watch *w) {
    if (!w) return;
    pthread_mutex_lock(&w->wake_lock);
    w->closing = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->wake_lock);
    pthread_join(w->thread, NULL);
    if (isb__watch_lost(w) != NOBODY) return; /* messages may still come in */
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->wake_lock);
    isb__free(w->ctx, w->peers);
    isb__free(w->ctx, w);
}
