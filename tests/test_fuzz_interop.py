"""Arrays of other libraries, and settings from files: the same answers, or refused in our words."""

from __future__ import annotations

import json

import asymfast as af
import numpy as np
import pytest
from asymfast.study.store import canonical, digest
from cases import ACTIVATIONS, assert_same_bits
from fuzz_inputs import (
    REFUSALS,
    answer,
    arrays,
    assert_clear,
    network,
    odd,
    problems,
    reals,
    usually,
)
from fuzzing import fuzz
from hypothesis import strategies as st


class Foreign:
    """The least that an array library offers, and what one may get wrong."""

    def __init__(self, array, device):
        self.array, self.device = array, device

    def __dlpack__(self, **settings):
        return self.array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self.device


class Broken(Foreign):
    """A library that returns something else in place of a capsule."""

    def __init__(self, array, device):
        super().__init__(array, (1, 0))
        self.capsule = device

    def __dlpack__(self, **settings):
        return self.capsule


HOST = (1, 13)  # DLPack's numbers of the CPU, and of memory that CUDA manages and the CPU reads
devices = st.sampled_from([(1, 0)] * 6 + [(2, 0), (4, 0), (13, 1), (99, -1)])


@fuzz(30, given=problems(), device=devices, everywhere=st.booleans())
def test_dlpack(given, device, everywhere):
    """The numbers of NumPy, to the bit, or the refusal of the same data."""
    passed = {
        name: Foreign(given[name], device if name == "X" else (1, 0))
        if name in "Xy" or everywhere
        else given[name]
        for name in ("W", "a", "lam", "X", "y")
    }
    passed["activation"] = given["activation"]
    foreign = answer(lambda: network(passed)(passed["X"]), BufferError)
    if foreign is not None:
        assert device[0] in HOST
        assert_same_bits(foreign, network(given)(given["X"]))
    losses = [
        answer(lambda: network(each).loss(each["X"], each["y"]), BufferError)  # noqa: B023
        for each in (passed, given)
    ]
    assert losses[0] is None or np.array_equal(losses[0], losses[1])
    return foreign is not None


@fuzz(25, X=arrays(3, 2, dtype="float64"), capsule=odd, device=usually(devices))
def test_what_is_no_capsule(X, capsule, device):
    net = af.Network.init(2, 5, 1.0, rng=0)
    answer(lambda: net(Broken(X, capsule)))
    return answer(lambda: net(Foreign(X, device))) is not None


# ---- configs -------------------------------------------------------------------------------------

small = usually(st.integers(1, 5))
sections = {
    "data": {
        "name": usually(st.sampled_from(["simulated", "simulatd", "npz", "csv"])),
        "n": small,
        "d": small,
        "seed": usually(st.integers(0, 3)),
        "noise": reals(0.0),
        "n_test": usually(st.integers(0, 3)),
        "path": usually(st.just("nowhere.npz")),
        "target": odd,
    },
    "network": {
        "m": small,
        "gamma": reals(0.0, 1.0),
        "alpha": reals(0.0, 3.0),
        "activation": usually(st.sampled_from(ACTIVATIONS)),
        "seed": usually(st.integers(0, 3)),
        "dtype": usually(st.sampled_from(["float64", "float32"])),
    },
    "train": {
        "trainer": usually(st.sampled_from(["gradient_descent", "gradient_flow", "sgd"])),
        "steps": small,
        "lr": reals(0.0),
        "t_end": reals(0.0, 2.0),
        "batch_size": small,
        "epochs": small,
        "loss": usually(st.sampled_from(["half_sse", "mse", "cross_entropy"])),
        "method": usually(st.sampled_from(["auto", "rk4", "dopri5", "tangent"])),
    },
    "record": {"every": small, "ntg_on": small, "top_nodes": small, "eigmax": odd, "folder": odd},
    "stop": {"loss": reals(0.0), "time": reals(0.0), "wall_seconds": usually(st.just(0.5))},
}
# of each trainer what it needs, so that one in a few is a whole config
NEEDED = {
    "data": ("name",),
    "network": ("m", "gamma", "alpha"),
    "train": ("trainer",),
    "record": (),
    "stop": ("wall_seconds",),
}
OF_TRAINERS = {
    "gradient_descent": ("steps", "lr"),
    "gradient_flow": ("t_end",),
    "sgd": ("lr", "batch_size", "epochs"),
}


@st.composite
def configs(draw):
    config = {}
    more = draw(st.sampled_from([None, *sections]))
    for section, known in sections.items():
        names = set(NEEDED[section])
        if section == more:
            names.add(draw(st.sampled_from(sorted(known))))
        if section == "train" and draw(st.integers(0, 9)):
            config[section] = {"trainer": draw(st.sampled_from(sorted(OF_TRAINERS)))}
            names |= set(OF_TRAINERS[config[section]["trainer"]])
        for name in sorted(names - config.get(section, {}).keys()):
            config.setdefault(section, {})[name] = draw(known[name])
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):  # something that is not there
        config[draw(st.sampled_from([*config, "seed", "network.m", "x", ""]))] = draw(odd)
    return config


def worked_off(value):
    """Days of work are not refused, but not for us."""
    return 2**65 if isinstance(value, int) and value > 10**3 else value


@fuzz(37, config=usually(configs()))
def test_train_config(config):
    if isinstance(config, dict):
        config = {
            section: {name: worked_off(value) for name, value in entries.items()}
            if isinstance(entries, dict)
            else worked_off(entries)
            for section, entries in config.items()
        }
    try:
        run = af.train_config(config)
    except af.ConfigError as error:
        refused = str(error)
    except (OSError, af.DivergenceError) as error:  # a file that is not there
        refused = str(error)
    except REFUSALS as error:
        assert_clear(error)
        return
    else:
        assert np.isfinite(run.loss).all()
        assert np.isfinite(run.network.W).all()
        return True
    assert len(refused) > 10


plain_values = st.recursive(
    odd | st.sampled_from([np.float32(2), np.int64(3), np.bool_(True)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@fuzz(25, config=st.dictionaries(st.text(max_size=3), plain_values, max_size=3))
def test_digests(config):
    """One text and one hash for what means the same, whatever the order of its keys."""
    from asymfast.study.config import as_plain

    one = answer(lambda: as_plain("test", "config", config))
    if one is None:
        return
    other = as_plain("test", "config", dict(reversed(config.items())))
    assert canonical(one) == canonical(other)
    assert len(digest(one)) == 16
    json.loads(canonical(one), parse_constant=pytest.fail)  # no NaN, no Infinity
    return True
