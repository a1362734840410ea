/* A learning-rate schedule: the rate as a function of how often a block was updated, and of nothing else.
 *
 * Its settings stand among the optimizer's ("adam:lr=0.01,schedule=cosine,T_max=1000,warmup=100") by PyTorch's names
 * and with PyTorch's definitions (torch.optim.lr_scheduler) where it has them. With lr the optimizer's rate and t the
 * number of updates before this one, less the warm-up:
 *
 *   constant      lr
 *   step          lr gamma^floor(t / step_size)                                   StepLR
 *   multistep     lr gamma^(milestones at or before t)                            MultiStepLR; milestone1 to milestone8
 *   exponential   lr gamma^t                                                      ExponentialLR
 *   cosine        eta_min + (lr - eta_min) (1 + cos(pi t / T_max)) / 2            CosineAnnealingLR, which rises again
 *   onecycle      lr / div_factor up to lr in the first pct_start of total_steps, then down to lr / div_factor /
 *                 final_div_factor, both by half a cosine; stays there            OneCycleLR
 *   polynomial    lr (1 - min(t, total_iters) / total_iters)^power                PolynomialLR; power 1 is linear
 *   inverse_sqrt  lr sqrt(timescale / (timescale + t))                            Vaswani et al. 2017, section 5.3,
 * when timescale is the warm-up's length, which it is at 0
 *
 * warmup is the number of updates in which the rate rises in equal steps from warmup_start times the schedule's first
 * rate up to it (LinearLR, followed by the schedule as by SequentialLR). Pure. */
#ifndef CANYON_SERVER_SCHEDULE_H
#define CANYON_SERVER_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "common/tensor.h"

#define SCHEDULE_MILESTONES 8

struct schedule {
    enum schedule_kind kind;
    uint64_t warmup;
    double warmup_start;
    double gamma, eta_min, pct_start, div_factor, final_div_factor, power;
    uint64_t length; /* step_size, T_max, total_steps, total_iters or timescale, as the kind has it */
    uint64_t milestones[SCHEDULE_MILESTONES];
    size_t milestone_count;
};

/* Whether a setting of this name is a schedule's. */
bool schedule_has_setting(const char *name);

/* Appends the canonical form of the schedule's settings among `given` (others are passed over) to `result`: nothing for
 * a constant rate; else every setting that the kind has, defaults filled in, in a fixed order; the warm-up's only when
 * there is one. INVALID_ARGUMENT for a setting that the kind does not have, lacks, or that is out of range; the text
 * names it and its range. */
enum canyon_status schedule_canonical(const struct optimizer_spec *given, struct optimizer_spec *result,
                                      struct error *error);

/* Takes out of canonical settings what another kind, or another list of milestones, among `changes` replaces. */
void schedule_make_way(struct optimizer_spec *settings, const struct setting *changes, uint32_t count);

/* Reads canonical settings. */
void schedule_read(const struct optimizer_spec *settings, struct schedule *schedule);

/* The rate of an update that `before` updates went before; lr is the optimizer's. Never negative, finite. Relative
 * error below 1e-13 for up to 1000 factors of gamma (it grows with their number), where the true rate is above 1e-300;
 * where a rate is a small difference, as of the cosine near T_max, below 1e-15 of lr. */
double schedule_rate(const struct schedule *schedule, double lr, uint64_t before);

#endif
