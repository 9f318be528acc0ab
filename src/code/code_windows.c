/* Equal-info windows: the walk down the tree of prefixes, and how a window ends.
 *
 * Encoding extends the window while the child for the next byte holds a whole cell.  Then
 *   exact   takes the longest prefix that has a cell of its own
 *   greedy  takes all of it, with the padded code of the last node
 *   delay   takes the shortest prefix that has the same padded code as all of it
 * and the bytes left out begin the next window.  Decoding follows the cell down the tree;
 * docs/codes.md says where each variant stops, and why the first and the last always stop where the
 * encoder did.
 *
 * Rows come from the cache of prefixes where M1 is reset with every window, else from the lane.
 */
#include "code/codec_state.h"

/* Asking M1 ahead costs time for rows past the window's end, which are of no use; with few lanes it
 * also saves time, since M1 is at its best from about GROUP rows a call. */
enum { GROUP = 32, MAX_RUN = 128, MAX_STEP = 8 };
/* Prefixes that one window may put into the cache: those that come again and again grow longer each
 * time, and the rest of a long window, which hardly comes again, takes no memory. */
enum { MAX_NEW = 4 };

static int precision_at(const isb__codec *codec, const isb__cursor *cursor) {
    return cursor->window.depth == 0 ? codec->first_precision : codec->params.precision_nbits;
}

static void cursor_begin(const isb__codec *codec, isb__cursor *cursor) {
    *cursor = (isb__cursor){.node = codec->cached ? ISB__TRIE_ROOT : 0};
    isb__window_begin(&cursor->window, codec->params.window_nbits,
                      codec->params.variant == ISB__EXACT);
}

/* The CDF of the cursor's node, or NULL if M1 must be asked. */
static const uint16_t *cursor_row(const isb__codec *codec, isb__lane *lane,
                                  const isb__cursor *cursor) {
    if (cursor->node) return isb__trie_cdf(&codec->trie, cursor->node);
    if (cursor->window.depth == 0) return isb__lane_first_row(codec, lane);
    return isb__lane_row(codec, lane, lane->start + cursor->window.depth);
}

/* Moves to the child for the byte, if that holds a whole cell. */
static bool cursor_descend(const isb__codec *codec, isb__cursor *cursor, const uint16_t *row,
                           uint8_t byte) {
    const uint32_t child = cursor->node ? isb__trie_child(&codec->trie, cursor->node, byte) : 0;
    if (child) {
        const isb__trie_node *node = isb__trie_node_at(&codec->trie, child);
        cursor->window.low = node->low;
        cursor->window.high = node->high;
        ++cursor->window.depth;
    } else if (!isb__window_descend(&cursor->window, row, precision_at(codec, cursor), byte)) {
        return false;
    }
    cursor->parent = cursor->node;
    cursor->node = child;
    cursor->byte = byte;
    return true;
}

/* The code by which a window may end at the cursor; false if it may not. */
static bool cursor_cell(const isb__codec *codec, const isb__cursor *cursor, const uint16_t *row,
                        isb__u192 *cell) {
    if (cursor->node) {
        const isb__trie_node *node = isb__trie_node_at(&codec->trie, cursor->node);
        *cell = node->cell;
        return node->has_cell;
    }
    if (codec->params.variant == ISB__EXACT) {
        return isb__window_own_cell(&cursor->window, row, precision_at(codec, cursor), cell);
    }
    int length;
    isb__window_padded_code(&cursor->window, cell, &length);
    return true;
}

/* Puts a node that M1 was asked for into the cache, the first few of a window. */
static isb_status cursor_cache(isb__codec *codec, isb__cursor *cursor, const uint16_t *row) {
    if (!cursor->parent || cursor->node || cursor->n_new == MAX_NEW) return ISB_OK;
    ++cursor->n_new;
    cursor->node = isb__trie_child(&codec->trie, cursor->parent, cursor->byte);
    if (cursor->node) return ISB_OK; /* another lane asked M1 for it meanwhile */
    isb__trie_node node = {.low = cursor->window.low, .high = cursor->window.high};
    node.has_cell = cursor_cell(codec, cursor, row, &node.cell);
    return isb__trie_add(&codec->trie, cursor->parent, cursor->byte, &node, row, &cursor->node);
}

/* The row of the lane's cursor, its node cached if it can be.  *row is NULL if M1 must be asked. */
static isb_status lane_row(isb__codec *codec, isb__lane *lane, const uint16_t **row) {
    *row = cursor_row(codec, lane, &lane->cursor);
    return *row ? cursor_cache(codec, &lane->cursor, *row) : ISB_OK;
}

/* Follows the length that seven of eight windows reach: a step down undoes seven up. */
static void learn_length(isb__worker *worker, size_t length) {
    const int64_t likely = worker->likely_length, step = likely / 256 + 1;
    if ((int64_t)(length < 4096 ? length : 4096) * 16 > likely) {
        worker->likely_length += step;
    } else if (likely > 7 * step) {
        worker->likely_length -= 7 * step;
    }
}

/* The window is over and `length` bytes long. */
static void next_window(isb__worker *worker, isb__lane *lane, size_t length) {
    lane->start += length;
    ++lane->n_windows;
    learn_length(worker, length);
    if (++lane->windows_in_context == worker->codec->params.reset_windows) {
        lane->windows_in_context = 0;
        isb__lane_new_context(lane, lane->start);
    }
}

/* ---- decoding ---- */

/* Follows the cell from the cursor.  *x: the next byte, whose node the cursor then is; -1: the
 * window ends here, or *status tells that no text has this code.  *matched: a padded code on the
 * way was the cell (greedy, delay). */
static isb_status decode_step(const isb__codec *codec, isb__cursor *cursor, const uint16_t *row,
                              isb__u192 cell, bool *matched, int *x) {
    const bool exact = codec->params.variant == ISB__EXACT;
    const int byte =
        isb__window_child_of_cell(&cursor->window, row, precision_at(codec, cursor), &cell);
    *x = -1;
    if (byte < 0) return exact || *matched ? ISB_OK : ISB_ERR_UNDECODABLE;
    isb__cursor child = *cursor;
    cursor_descend(codec, &child, row, (uint8_t)byte); /* it holds this whole cell */
    if (!exact) {
        isb__u192 code;
        int length;
        isb__window_padded_code(&child.window, &code, &length);
        const bool equal = isb__u192_compare(code, cell) == 0;
        if (*matched && !equal) return ISB_OK;
        *matched = equal;
    }
    *cursor = child;
    *x = byte;
    return ISB_OK;
}

void isb__windows_begin_cell(const isb__codec *codec, isb__lane *lane, isb__u192 cell) {
    cursor_begin(codec, &lane->cursor);
    lane->cell = cell;
    lane->matched = false;
    lane->in_window = true;
}

static isb_status decode_cell(isb__codec *codec, isb__lane *lane, size_t limit_nbytes, bool *done,
                              isb_status *status) {
    for (;;) {
        if (codec->params.variant == ISB__DELAY && lane->matched) break;
        const uint16_t *row = NULL;
        ISB_TRY(lane_row(codec, lane, &row));
        if (!row) {
            isb__lane_want(lane, lane->text_nbytes, lane->text_nbytes);
            return ISB_OK;
        }
        int x;
        *status = decode_step(codec, &lane->cursor, row, lane->cell, &lane->matched, &x);
        if (x < 0) break;
        if (lane->text_nbytes >= limit_nbytes) {
            *status = ISB_ERR_CORRUPT;
            break;
        }
        ISB_TRY(isb__lane_push_byte(codec->ctx, lane, (uint8_t)x));
    }
    *done = true;
    return ISB_OK;
}

isb_status isb__windows_decode_cell(isb__worker *worker, isb__lane *lane, size_t limit_nbytes,
                                    bool *done, isb_status *status) {
    *done = false;
    *status = ISB_OK;
    ISB_TRY(decode_cell(worker->codec, lane, limit_nbytes, done, status));
    if (!*done) return ISB_OK;
    lane->in_window = false;
    if (*status == ISB_ERR_UNDECODABLE) isb__lane_drop_window(lane);
    next_window(worker, lane, lane->text_nbytes - lane->start);
    return ISB_OK;
}

/* How many windows the ids hold; *final_status is CORRUPT if what is left is not padding, or an id
 * is too large. */
static uint64_t count_windows(const isb__codec *codec, const isb__ids_view *codes,
                              isb_status *final_status) {
    const int n = codec->params.token_nbits, b = codec->params.window_nbits;
    size_t valid = 0;
    while (valid < codes->count && codes->ids[valid] >> n == 0) ++valid;
    const uint64_t nbits = (uint64_t)valid * (uint64_t)n;
    const uint64_t n_windows = nbits / (uint64_t)b;
    const int rest = (int)(nbits % (uint64_t)b);
    const isb__u192 padding = isb__bits_get(codes->ids, n, n_windows * (uint64_t)b, rest);
    const bool fine = valid == codes->count && rest < n && isb__u192_length(padding) == 0;
    *final_status = fine ? ISB_OK : ISB_ERR_CORRUPT;
    return n_windows;
}

isb_status isb__windows_start_decode(isb__worker *worker, isb__lane *lane, isb__job *job) {
    const isb__ids_view *codes = &job->codes[lane->document];
    lane->windows_left = count_windows(worker->codec, codes, &lane->final_status);
    isb__lane_new_context(lane, 0);
    return ISB_OK;
}

isb_status isb__windows_decode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done) {
    const isb__codec *codec = worker->codec;
    const int n = codec->params.token_nbits, b = codec->params.window_nbits;
    const uint32_t *ids = job->codes[lane->document].ids;
    isb_status status = ISB_OK;
    while (lane->windows_left > 0 && status == ISB_OK) {
        if (!lane->in_window) {
            ISB_TRY(isb__job_check(job));
            isb__windows_begin_cell(codec, lane,
                                    isb__bits_get(ids, n, lane->n_windows * (uint64_t)b, b));
        }
        const size_t before = lane->text_nbytes;
        bool window_done;
        ISB_TRY(isb__windows_decode_cell(worker, lane, job->limit_nbytes, &window_done, &status));
        worker->n_new_bytes += lane->text_nbytes > before ? lane->text_nbytes - before : 0;
        if (!window_done) return ISB_OK;
        --lane->windows_left;
    }
    if (status != ISB_OK) lane->final_status = status;
    *done = true;
    return ISB_OK;
}

/* ---- encoding ---- */

isb_status isb__windows_start_encode(isb__worker *worker, isb__lane *lane, isb__job *job) {
    lane->text = job->texts[lane->document].data;
    lane->text_nbytes = job->texts[lane->document].nbytes;
    isb__bits_begin(&lane->bits, worker->codec->params.token_nbits);
    isb__lane_new_context(lane, 0);
    cursor_begin(worker->codec, &lane->cursor);
    return ISB_OK;
}

/* Asks for the row at q and some after it: in one run to where the context is likely to be needed
 * still, and from there in steps. */
static void want_ahead(const isb__worker *worker, isb__lane *lane, size_t q) {
    const size_t depth = q - lane->start, left = lane->text_nbytes - q;
    const int reset = worker->codec->params.reset_windows;
    size_t n = MAX_RUN;
    if (reset > 0) {
        const size_t windows = (size_t)(reset - lane->windows_in_context);
        const size_t length = (size_t)worker->likely_length / 16;
        const size_t likely = length * (windows < MAX_RUN ? windows : MAX_RUN);
        const size_t step = GROUP / worker->n_busy;
        n = step < 1 ? 1 : step < MAX_STEP ? step : MAX_STEP;
        if (likely > depth + n) n = likely - depth < MAX_RUN ? likely - depth : MAX_RUN;
    }
    isb__lane_want(lane, q, q + (left < n ? left : n - 1));
}

/* Takes note of the cursor's node as a place where the window may end. */
static isb_status visit(isb__codec *codec, isb__lane *lane, const uint16_t *row) {
    const size_t depth = lane->cursor.window.depth;
    isb__u192 cell;
    if (depth == 0 || !cursor_cell(codec, &lane->cursor, row, &cell)) return ISB_OK;
    lane->best_length = depth;
    lane->best_cell = cell;
    if (codec->params.variant != ISB__DELAY) return ISB_OK;
    ISB_TRY(
        isb__grow_array(codec->ctx, depth, sizeof *lane->path, &lane->path_capacity, &lane->path));
    lane->path[depth - 1] = cell;
    return ISB_OK;
}

/* Decodes a window that is being closed.  Every row that this takes was at hand in encoding. */
static bool window_decodes(const isb__codec *codec, isb__lane *lane, size_t length,
                           isb__u192 cell) {
    isb__cursor cursor;
    cursor_begin(codec, &cursor);
    for (bool matched = false;;) {
        const size_t depth = cursor.window.depth;
        if (codec->params.variant == ISB__DELAY && matched) return depth == length;
        const uint16_t *row = cursor_row(codec, lane, &cursor);
        int x;
        if (!row || decode_step(codec, &cursor, row, cell, &matched, &x) != ISB_OK) return false;
        if (x < 0) return depth == length;
        if (depth == length || x != lane->text[lane->start + depth]) return false;
    }
}

static isb_status close_window(isb__worker *worker, isb__lane *lane, isb__job *job) {
    isb__codec *codec = worker->codec;
    size_t length = lane->best_length;
    const isb__u192 cell = lane->best_cell;
    if (codec->params.variant == ISB__DELAY) {
        for (length = 1; isb__u192_compare(lane->path[length - 1], cell) != 0;) ++length;
    }
    if (codec->check_windows) {
        const bool fine = window_decodes(codec, lane, length, cell);
        ++worker->stats.windows_checked;
        worker->stats.windows_failed += !fine;
        if (!fine) lane->failed = true;
    }
    ISB_TRY(isb__bits_put(codec->ctx, &lane->bits, cell, codec->params.window_nbits));
    next_window(worker, lane, length);
    worker->n_new_bytes += length;
    cursor_begin(codec, &lane->cursor);
    return isb__job_check(job);
}

isb_status isb__windows_encode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done) {
    isb__codec *codec = worker->codec;
    while (lane->start < lane->text_nbytes) {
        const size_t q = lane->start + lane->cursor.window.depth;
        const uint16_t *row = NULL;
        ISB_TRY(lane_row(codec, lane, &row));
        if (!row) {
            want_ahead(worker, lane, q);
            return ISB_OK;
        }
        ISB_TRY(visit(codec, lane, row));
        if (q < lane->text_nbytes && cursor_descend(codec, &lane->cursor, row, lane->text[q]))
            continue;
        ISB_TRY(close_window(worker, lane, job));
    }
    worker->stats.documents_checked += codec->check_windows;
    worker->stats.documents_failed += lane->failed;
    *done = true;
    return ISB_OK;
}
