/* isobit/isobit.h: everything. */
#ifndef ISOBIT_ISOBIT_H
#define ISOBIT_ISOBIT_H

#include <isobit/codebook.h>
#include <isobit/container.h>
#include <isobit/context.h>
#include <isobit/data.h>
#include <isobit/evaluate.h>
#include <isobit/generate.h>
#include <isobit/m1.h>
#include <isobit/model.h>
#include <isobit/status.h>
#include <isobit/train.h>

#endif
