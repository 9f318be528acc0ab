/* model_distance A B: the distance of two models' weights, as a share of the first's length. */
#include <math.h>
#include <stdio.h>

#include "nn/model.h"

int main(int argc, char **argv) {
    isb_context *ctx = NULL;
    isb_model *a = NULL, *b = NULL;
    double length = 0, distance = 0;
    if (argc != 3 || isb_context_create(NULL, &ctx) != ISB_OK) return 2;
    if (isb_model_load(ctx, argv[1], &a) != ISB_OK || isb_model_load(ctx, argv[2], &b) != ISB_OK ||
        a->n_floats != b->n_floats) {
        fprintf(stderr, "%s\n", isb_context_error(ctx));
        return 1;
    }
    for (size_t i = 0; i < a->n_floats; ++i) {
        const double x = (double)a->data[i], y = (double)b->data[i];
        length += x * x;
        distance += (x - y) * (x - y);
    }
    printf("%.3g\n", sqrt(distance / length));
    isb_model_free(b);
    isb_model_free(a);
    isb_context_free(ctx);
    return 0;
}
