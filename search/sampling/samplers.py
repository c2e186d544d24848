"""How the next point is chosen from what became of earlier ones: Optuna's samplers, by the words of classArgs.

To add one, decorate a function (seed, startup) -> optuna sampler; it learns after `startup` points drawn at random.
"""

from __future__ import annotations

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from registry import Registry

SAMPLERS = Registry("sampler")


@SAMPLERS.register("tpe")
def tpe(seed: int | None, startup: int) -> BaseSampler:
    """All knobs of a branch together, running trials counted as bad (constant liar); stopped trials rank by how far
    they came. Bergstra et al. 2011; Falkner et al. 2018 for several knobs; Watanabe 2023."""
    return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True)


@SAMPLERS.register("gp")
def gp(seed: int | None, startup: int) -> BaseSampler:
    """A Gaussian process and its expected improvement, for few trials; running ones count as it expects them to end."""
    import torch  # here, as it takes seconds

    torch.set_num_threads(1)  # the other cores are the trials'
    return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)


@SAMPLERS.register("cmaes")
def cmaes(seed: int | None, startup: int) -> BaseSampler:
    """CMA-ES (Hansen 2016) with margins for whole numbers (Hamano et al. 2022); for many trials and numbers. Options
    without an order, and knobs that only some choices have, are drawn at random."""
    return CmaEsSampler(seed=seed, n_startup_trials=startup, with_margin=True, warn_independent_sampling=False)


@SAMPLERS.register("random")
def random(seed: int | None) -> BaseSampler:
    return RandomSampler(seed=seed)


@SAMPLERS.register("grid")
def grid(seed: int | None) -> BaseSampler:
    """Every point once, in an order that the seed shuffles: the points themselves are counted in pool.py."""
    return RandomSampler(seed=seed)


# these rank a stopped trial by how far it came; to the others it has ended with the value it had
KNOW_STOPPED = {"tpe", "random", "grid"}
