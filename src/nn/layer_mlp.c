/* The gated MLP (Shazeer 2020): down(act(gate x) * up x), act = silu or relu.
 *
 * gate and up are one product.  The hidden row h is not kept: the backward pass makes it again
 * from gate and up, which it reads anyway. */
#include "nn/layers.h"

typedef struct mlp_job {
    const isb__nn *nn;
    const isb__mlp *mlp;
    const float *gate_up;
    float *h, *dh, *dgate_up;
} mlp_job;

static void forward_task(void *arg, size_t task, int thread) {
    (void)thread;
    const mlp_job *job = arg;
    const isb__ops *ops = job->nn->ops;
    const size_t F = job->mlp->F, begin = task * ISB__TOKEN_BLOCK;
    const size_t end =
        begin + ISB__TOKEN_BLOCK < job->mlp->M ? begin + ISB__TOKEN_BLOCK : job->mlp->M;
    for (size_t m = begin; m < end; ++m) {
        const float *gate = job->gate_up + m * 2 * F;
        (job->mlp->relu ? ops->relu_mul : ops->silu_mul)(F, gate, gate + F, job->h + m * F);
    }
}

void isb__mlp_forward(const isb__nn *nn, const isb__mlp *mlp, const float *x, float *gate_up,
                      float *h, float *out) {
    mlp_job job = {.nn = nn, .mlp = mlp, .gate_up = gate_up, .h = h};
    isb__linear(nn, mlp->M, mlp->gate_up, x, gate_up);
    isb__parallel(nn->ctx, isb__token_blocks(mlp->M), forward_task, &job);
    isb__linear(nn, mlp->M, mlp->down, h, out);
}

static void backward_task(void *arg, size_t task, int thread) {
    (void)thread;
    const mlp_job *job = arg;
    const isb__ops *ops = job->nn->ops;
    const size_t F = job->mlp->F, begin = task * ISB__TOKEN_BLOCK;
    const size_t end =
        begin + ISB__TOKEN_BLOCK < job->mlp->M ? begin + ISB__TOKEN_BLOCK : job->mlp->M;
    for (size_t m = begin; m < end; ++m) {
        const float *gate = job->gate_up + m * 2 * F;
        float *dgate = job->dgate_up + m * 2 * F;
        (job->mlp->relu ? ops->relu_mul : ops->silu_mul)(F, gate, gate + F, job->h + m * F);
        (job->mlp->relu ? ops->relu_mul_backward : ops->silu_mul_backward)(
            F, gate, gate + F, job->dh + m * F, dgate, dgate + F);
    }
}

void isb__mlp_backward(const isb__nn *nn, const isb__mlp *mlp, const float *x, const float *gate_up,
                       const float *dout, float *h, float *dh, float *dgate_up, float *dx,
                       float *dW_gate_up, float *dW_down) {
    mlp_job job = {nn, mlp, gate_up, h, dh, dgate_up};
    isb__linear_dx(nn, mlp->M, mlp->down, dout, dh);
    isb__parallel(nn->ctx, isb__token_blocks(mlp->M), backward_task, &job);
    isb__linear_dw(nn, mlp->M, mlp->C, mlp->F, dout, h, dW_down);
    isb__linear_dw(nn, mlp->M, 2 * mlp->F, mlp->C, dgate_up, x, dW_gate_up);
    isb__linear_dx(nn, mlp->M, mlp->gate_up, dgate_up, dx);
}
