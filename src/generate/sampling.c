/* Sampling.  Only the tokens that can be drawn need an order, and with top_p or top_k these are
 * few: a heap is made of all in linear time and gives up its largest, one by one, until enough
 * are there. */
#include "generate/sampling.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/ops.h"

struct isb__sampler {
    isb_context *ctx;
    const isb__ops *ops;
    size_t V;
    isb__sampling sampling;
    isb__rng rng;
    float *p;       /* [V] relative probabilities, the largest is 1 */
    uint32_t *heap; /* [V] ids; what was taken lies behind the heap, in reverse order */
};

isb_status isb__sampler_create(isb_context *ctx, size_t V, const isb__sampling *sampling,
                               isb__sampler **sampler) {
    *sampler = NULL;
    isb__sampler *s = NULL;
    isb_status status = ISB_OK;
    ISB_TRY(isb__alloc(ctx, sizeof *s, &s));
    s->ctx = ctx;
    s->ops = isb__ops_for(ctx->cpu);
    s->V = V;
    s->sampling = *sampling;
    isb__rng_seed(&s->rng, sampling->seed);
    ISB_TRY_GOTO(isb__alloc_array(ctx, V, sizeof *s->p, &s->p));
    ISB_TRY_GOTO(isb__alloc_array(ctx, V, sizeof *s->heap, &s->heap));
    *sampler = s;
    return ISB_OK;
fail:
    isb__sampler_free(s);
    return status;
}

void isb__sampler_free(isb__sampler *s) {
    if (!s) return;
    isb__free(s->ctx, s->p);
    isb__free(s->ctx, s->heap);
    isb__free(s->ctx, s);
}

static size_t most_probable(size_t V, const float *logits) {
    size_t best = 0;
    for (size_t i = 1; i < V; ++i) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

/* p = exp((logit - largest) / temperature); returns the sum. */
static double weigh(isb__sampler *s) {
    const float most = s->ops->max(s->V, s->p),
                inverse = (float)fmin(1.0 / s->sampling.temperature, 1e30);
    double total = 0;
    for (size_t i = 0; i < s->V; ++i) s->p[i] = (s->p[i] - most) * inverse;
    s->ops->exp(s->V, s->p, s->p);
    for (size_t i = 0; i < s->V; ++i) total += (double)s->p[i];
    return total;
}

static size_t draw_from_all(isb__sampler *s, double total) {
    double left = isb__rng_uniform(&s->rng) * total;
    size_t last = 0;
    for (size_t i = 0; i < s->V; ++i) {
        if (s->p[i] <= 0.0f) continue;
        last = i;
        left -= (double)s->p[i];
        if (left < 0) break;
    }
    return last;
}

static bool comes_first(const isb__sampler *s, uint32_t a, uint32_t b) {
    return s->p[a] > s->p[b] || (s->p[a] == s->p[b] && a < b);
}

static void sift_down(isb__sampler *s, size_t n, size_t i) {
    const uint32_t id = s->heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && comes_first(s, s->heap[child + 1], s->heap[child])) ++child;
        if (!comes_first(s, s->heap[child], id)) break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = id;
}

/* Takes the largest until their number reaches top_k or, without top_k, their sum top_p;
 * returns how many, and their sum. */
static size_t take_largest(isb__sampler *s, double total, double *sum) {
    const size_t limit =
        s->sampling.top_k > 0 && s->sampling.top_k < s->V ? s->sampling.top_k : s->V;
    size_t n = s->V;
    for (size_t i = 0; i < n; ++i) s->heap[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;) sift_down(s, n, i);
    *sum = 0;
    while (n > 0 && s->V - n < limit && s->p[s->heap[0]] > 0.0f) {
        const uint32_t id = s->heap[0];
        s->heap[0] = s->heap[--n];
        s->heap[n] = id;
        if (n > 0) sift_down(s, n, 0);
        *sum += (double)s->p[id];
        if (s->sampling.top_k == 0 && *sum >= s->sampling.top_p * total) break;
    }
    return s->V - n;
}

/* The nucleus is measured within the top k, as in Hugging Face's order of the two. */
static size_t draw_from_largest(isb__sampler *s, double total) {
    double sum;
    size_t n = take_largest(s, total, &sum);
    if (s->sampling.top_k > 0 && s->sampling.top_p < 1) {
        const double enough = s->sampling.top_p * sum;
        double part = 0;
        for (size_t i = 0; i < n; ++i) {
            part += (double)s->p[s->heap[s->V - 1 - i]];
            if (part >= enough) n = i + 1;
        }
        sum = part;
    }
    double left = isb__rng_uniform(&s->rng) * sum;
    size_t i = 0;
    for (; i + 1 < n; ++i) {
        left -= (double)s->p[s->heap[s->V - 1 - i]];
        if (left < 0) break;
    }
    return s->heap[s->V - 1 - i];
}

size_t isb__sampler_draw(isb__sampler *s, const float *logits, ptrdiff_t banned) {
    memcpy(s->p, logits, s->V * sizeof *s->p);
    if (banned >= 0) s->p[banned] = -INFINITY;
    if (s->sampling.temperature == 0) return most_probable(s->V, s->p);
    double total = weigh(s);
    if (banned >= 0) { /* exp clamps; never is never */
        total -= (double)s->p[banned];
        s->p[banned] = 0.0f;
    }
    const bool all =
        s->sampling.top_p >= 1 && (s->sampling.top_k == 0 || s->sampling.top_k >= s->V);
    return all ? draw_from_all(s, total) : draw_from_largest(s, total);
}
