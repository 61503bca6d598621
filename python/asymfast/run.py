"""The result of a training run: what was recorded, the networks, the settings."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _storage
from ._optional import require
from .network import Network
from .record import COLUMNS, lengths

if TYPE_CHECKING:
    import xarray as xr

_FORMAT = "asymfast run 1"
_REASONS = (None, "callback", "loss", "time", "wall_seconds", "patience")


@_check.guarded
@dataclass(frozen=True, eq=False)
class Run:
    """A training run of T records; of an ensemble every array but time has an axis B after T.

    Attributes
    ----------
    steps : (T,) int64 array
        Recorded steps. (T, B) in flows of ensembles with error control, where members differ.
    evaluations : (T,) int64 array
        Gradients computed so far, in sgd those of batches; shaped as `steps`.
    time : (T,) float64 array
        lr * step of gradient descent, the sum of the learning rates of sgd, t of a flow.
    loss : (T,) float64 array
        Training loss, of the kind named in `config`; in sgd too that of all training samples.
    weight_change : (T, m) float64 array
        |w_tj - w_0j| of every node.
    test_loss, accuracy, test_accuracy : (T,) float64 arrays, or None
        Accuracy is the share of samples whose largest output is that of the target.
    ntg_change, ntg_change_2norm : (T,) float64 arrays, or None
        Frobenius norm |NTG_t - NTG_0|_F, an upper bound of the 2-norm of Theorem 4.1 (d).
    ntg_eigmin, ntg_eigmax : (T,) float64 arrays, or None
        Extreme eigenvalues of NTG_t. 0 up to rounding, of either sign, where it is singular.
    alignment, effective_rank : (T,) float64 arrays, or None
        See `Record`.
    ntg_matrix : (T, q, q) float64 array, or None
        NTG_t on the q chosen samples.
    top_nodes : (T, top_nodes) int64 array, or None
        The nodes that moved the most, the farthest first; -1 for a member that diverged.
    weights, output_weights : (T, m, d) and (T, m, k) arrays, or None
        W_t, and a_t if it is trained.
    initial, network : Network
        At the start, and at the last record; with `Stop(patience=...)` at the best one.
    diverged : bool, or (B,) bool array
        Whether the loss diverged; a diverged member's records are NaN from there on.
    stopped, stopped_by : bool, and str or None
        Whether it ended early, by "callback", "loss", "time", "wall_seconds" or "patience".
    config : dict
        All settings and versions; JSON-able.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, rng=1)
    >>> run = af.gradient_descent(net, X, y, lr=1.0, steps=100, record=af.Record(every=50))
    >>> run.steps.tolist(), run.weight_change.shape
    ([0, 50, 100], (3, 200))
    >>> bool(run.loss[-1] < run.loss[0]), run.config["loss"]
    (True, 'half_sse')
    >>> run.network
    Network(m=200, d=5, k=1, activation='swish', dtype='float64')
    """

    steps: NDArray[np.int64]
    time: NDArray[np.float64]
    evaluations: NDArray[np.int64]
    loss: NDArray[np.float64]
    weight_change: NDArray[np.float64]
    initial: Network
    network: Network
    diverged: bool | NDArray[np.bool_]
    stopped: bool
    config: dict[str, Any]
    test_loss: NDArray[np.float64] | None = None
    accuracy: NDArray[np.float64] | None = None
    test_accuracy: NDArray[np.float64] | None = None
    top_nodes: NDArray[np.int64] | None = None
    ntg_change: NDArray[np.float64] | None = None
    ntg_change_2norm: NDArray[np.float64] | None = None
    ntg_eigmin: NDArray[np.float64] | None = None
    ntg_eigmax: NDArray[np.float64] | None = None
    alignment: NDArray[np.float64] | None = None
    effective_rank: NDArray[np.float64] | None = None
    ntg_matrix: NDArray[np.float64] | None = None
    weights: NDArray[Any] | None = None
    output_weights: NDArray[Any] | None = None
    stopped_by: str | None = None

    def __repr__(self) -> str:
        last = "nothing recorded"
        if len(self.steps):
            losses = np.asarray(self.loss[-1])
            shown = np.array2string(losses, precision=4)
            if losses.size > 6:
                shown = (
                    f"{np.nanmin(losses):.4g} to {np.nanmax(losses):.4g} of {losses.size} members"
                )
            last = f"step {np.max(self.steps[-1])}, time {self.time[-1]:g}, loss {shown}"
        return f"Run({len(self.steps)} records; last: {last})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file of plain arrays, without pickle.

        Cost: the size of the arrays, uncompressed; two networks and the record.

        Parameters
        ----------
        path : path-like
            The file; replaced only once everything is written, untouched if something fails.

        Raises
        ------
        TypeError, ValueError
            `path` is not a valid path.
        OSError
            The folder does not exist or cannot be written to, or `path` is a folder.

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
        >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, rng=1)
        >>> run = af.gradient_descent(net, X, y, lr=1.0, steps=100, record=af.Record(every=50))
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run.save(f"{folder}/run.npz")
        ...     again = af.Run.load(f"{folder}/run.npz")
        ...
        >>> bool((again.network.W == run.network.W).all())
        True
        """
        recorded: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        arrays = {name: values for name, values in recorded.items() if values is not None}
        own, header = self.network._stored()
        arrays |= {"diverged": np.asarray(self.diverged), **own}
        arrays |= {"W0": self.initial.W, "a0": self.initial.a}
        header |= {name: getattr(self, name) for name in ("stopped", "stopped_by", "config")}
        header["format"] = _FORMAT
        if not header["bias"]:  # files of 0.1 have no such entry
            del header["bias"]
        _storage.save_npz(_storage.file_to_write("Run.save", "path", path), arrays, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a file written by `save`; nothing in it is ever executed.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        Run
            As it was saved, to the bit.

        Raises
        ------
        OSError
            The file does not exist or cannot be read.
        TypeError
            `path` is not a valid path.
        ValueError
            The file is damaged or was changed, was not written by `save`, or its numbers contradict
            each other.

        Examples
        --------
        >>> import asymfast as af
        >>> af.Run.load("no_such_run.npz")
        Traceback (most recent call last):
            ...
        FileNotFoundError: ... 'no_such_run.npz'
        """
        file = _storage.path("Run.load", "path", path)
        try:
            return _storage.load_npz(file, _FORMAT, cls._build)
        except ValueError as error:
            raise ValueError(f"Run.load: {file} is not a file of Run.save: {error}") from None

    @classmethod
    def _build(cls, stored: dict[str, NDArray[Any]], header: dict[str, Any]) -> Run:
        diverged = stored["diverged"]
        recorded: dict[str, Any] = {
            name: stored[name] if (column.field or column.needs) is None else stored.get(name)
            for name, column in COLUMNS.items()
        }
        run = cls(
            **recorded,
            initial=Network._from_arrays(stored, header, "W0", "a0" if "a0" in stored else "a"),
            network=Network._from_arrays(stored, header),
            diverged=diverged if diverged.ndim else diverged.item(),
            stopped=header["stopped"],
            stopped_by=header.get("stopped_by"),
            config=header["config"],
        )
        run._require_shapes()
        run._require_consistent()
        return run

    def _require_shapes(self) -> None:
        """Raise ValueError unless the columns have the shapes and dtypes that a run gives them."""
        net, records = self.network, (len(self.time),)
        members = () if net.B is None else (net.B,)
        sizes: dict[str, tuple[int | str, ...]]
        sizes = {"member": members, "node": (net.m,), "input": (net.d,), "output": (net.k,)}
        for name, column in COLUMNS.items():
            values = getattr(self, name)
            if values is None:
                continue
            shape: tuple[int | str, ...] = records
            for axis in () if column.of_steps else column.axes:
                shape += sizes.get(axis, (axis,))
            of_members = [(*records, *members)] if column.of_steps else []
            _check.require_shape("its record", name, values.shape, shape, *of_members)
            if values.dtype != column.numpy_dtype(net.dtype):
                raise ValueError(f"its record: {name} has dtype {values.dtype}")
        diverged = np.asarray(self.diverged)
        if diverged.shape != members or diverged.dtype != np.bool_:
            raise ValueError(f"its diverged has dtype {diverged.dtype}, shape {diverged.shape}")
        if not (isinstance(self.config, dict) and isinstance(self.config.get("record", {}), dict)):
            raise ValueError("its config, or the record in it, is not a table")

    def _require_consistent(self) -> None:
        """Raise ValueError where numbers contradict each other, as those of two runs do."""
        net, config = self.network, self.config
        own = {name: getattr(net, name) for name in ("d", "m", "k", "B", "activation")}
        own |= {"dtype": str(net.dtype)}
        for name, value in own.items():
            if config.get(name, value) != value:
                raise ValueError(f"its network has {name} = {value}, its config {config[name]!r}")
        for name in ("gamma", "alpha"):
            one, other = (np.array(of, np.float64) for of in (getattr(net, name), config.get(name)))
            if name in config and not np.array_equal(one, other, equal_nan=True):
                raise ValueError(f"its network has {name} = {one}, its config {other}")
        if not (config.get("train_output") or np.array_equal(net.a, self.initial.a)):
            raise ValueError("its output weights have changed, although they were not trained")
        reasons = _REASONS if self.stopped is True else {None}
        if not (isinstance(self.stopped, bool) and self.stopped_by in reasons):
            raise ValueError(f"it ended by {self.stopped_by!r}, stopped = {self.stopped!r}")
        for name in ("steps", "time", "evaluations"):
            values = getattr(self, name)
            if not ((values >= 0).all() and (values[1:] >= values[:-1]).all()):
                raise ValueError(f"its {name} must be >= 0 and increase")
        for name in ("loss", "test_loss", "weight_change", "ntg_change", "ntg_change_2norm"):
            if (values := getattr(self, name)) is not None and (values < 0).any():
                raise ValueError(f"its {name} must be >= 0, got {np.nanmin(values):g}")
        for name in ("accuracy", "test_accuracy"):
            if (values := getattr(self, name)) is not None and ((values < 0) | (values > 1)).any():
                raise ValueError(f"its {name} must be in [0, 1]")
        for name in ("loss", "test_loss", "weight_change", "weights"):
            values = getattr(self, name)
            if values is not None and np.isnan(values[:, ~np.asarray(self.diverged)]).any():
                raise ValueError(f"its {name} must be a number where no member has diverged")
        if self.top_nodes is not None:
            lowest = np.where(self.diverged, -1, 0)[..., None]
            if not ((lowest <= self.top_nodes) & (self.top_nodes < net.m)).all():
                raise ValueError(f"its top_nodes must be nodes, of which there are {net.m}")
        lr = config.get("lr")
        if type(lr) is float and not np.allclose(self.time, lr * self.steps, 1e-9, 0):
            raise ValueError(f"its time must be lr * step, with the lr of its config, {lr:g}")
        self._require_weights()

    def _require_weights(self) -> None:
        """Raise ValueError unless the final weights are those that the record ends with."""
        records = np.asarray(self.config.get("best_record", len(self.time) - 1))
        if not len(self.time) or np.any(self.diverged):
            return
        members = () if self.network.B is None else (self.network.B,)
        whole = records.dtype.kind == "i" and records.shape in ((), members)
        if not (whole and 0 <= records.min() <= records.max() < len(self.time)):
            raise ValueError(f"its best_record must be a record, got {records}")
        where: Any = np.broadcast_to(records, members), *np.ogrid[tuple(map(slice, members))]
        W, W0 = (net.W.astype(np.float64) for net in (self.network, self.initial))
        eps = np.finfo(self.network.dtype).eps
        with np.errstate(over="ignore", invalid="ignore"):
            moved, recorded = lengths(W - W0), self.weight_change[where]
            size = lengths(W) + lengths(W0)
            right = abs(moved - recorded) <= (16 + self.network.d) * eps * size
            right &= np.isfinite(moved) | ~np.isfinite(recorded)
        if not right.all():
            raise ValueError("its weight_change is not that from its first to its last weights")
        for name, last in (("weights", self.network.W), ("output_weights", self.network.a)):
            rows = getattr(self, name)
            if rows is not None and not np.array_equal(rows[where].reshape(last.shape), last):
                raise ValueError(f"its {name} do not end with those of its network")

    def columns(self) -> dict[str, tuple[tuple[str, ...], NDArray[Any]]]:
        """Return everything recorded: names, and for each the names of its axes and its values.

        Axes are record, member (ensembles only), node, input, output, sample, sample2 and rank.

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
        >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, rng=1)
        >>> run = af.gradient_descent(net, X, y, lr=1.0, steps=100, record=af.Record(every=50))
        >>> axes, values = run.columns()["weight_change"]
        >>> axes, values.shape
        (('record', 'node'), (3, 200))
        """
        ensemble = self.network.B is not None
        columns = {}
        for name, column in COLUMNS.items():
            values = getattr(self, name)
            if values is None:
                continue
            axes = column.axes if ensemble else tuple(a for a in column.axes if a != "member")
            columns[name] = ("record", *axes)[: values.ndim], values
        return columns

    def to_xarray(self) -> xr.Dataset:
        """Return the record as an xarray Dataset; ImportError without it (extra ``sweep``).

        Returns
        -------
        xarray.Dataset
            Dimensions record, member (ensembles only), node, input, output, sample, rank. Step and
            time are coordinates of record, gamma and alpha of member where members differ. The
            settings are attributes: texts and numbers as they are, everything else as JSON.

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
        >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, rng=1)
        >>> run = af.gradient_descent(net, X, y, lr=1.0, steps=100, record=af.Record(every=50))
        >>> dict(run.to_xarray().sizes)
        {'record': 3, 'node': 200}
        """
        xarray = require("xarray", "sweep", "Run.to_xarray")
        variables: dict[str, Any] = self.columns()
        coordinates = {"step": variables.pop("steps"), "time": variables.pop("time")}
        for name in ("gamma", "alpha"):
            if np.ndim(getattr(self.network, name)):
                coordinates[name] = ("member",), getattr(self.network, name)
        attributes = {
            name: value if type(value) in (str, int, float) else json.dumps(value)
            for name, value in self.config.items()
        }
        dataset: xr.Dataset = xarray.Dataset(variables, coords=coordinates, attrs=attributes)
        return dataset


class DivergenceError(RuntimeError):
    """The loss diverged: it is not finite, or more than 10^10 times the loss at the start.

    Attributes
    ----------
    run : Run
        Everything recorded before.
    step : int
        Step at which the run, or its first member that diverged, was given up.
    last_loss : float
        Its last acceptable loss; in sgd the loss of a batch.
    bound : float
        Largest stable step at the start: 2 / eig_max for gradient descent, 2.78 / eig_max for RK4,
        3.3 / eig_max for the other flows, with eig_max of the loss' Gauss-Newton matrix, computed
        to about 1 %; in sgd that of the first batch and of all weights trained.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=200, gamma=1.0, activation="identity", rng=1)
    >>> try:
    ...     af.gradient_descent(net, X, y, lr=100.0, steps=1000)
    ... except af.DivergenceError as error:
    ...     print(f"step {error.step}, lr must be below {error.bound:.2g}")
    ...
    step 3, lr must be below 1.4
    """

    def __init__(self, message: str, run: Run, step: int, last_loss: float, bound: float) -> None:
        super().__init__(message)
        self.run = run
        self.step = step
        self.last_loss = last_loss
        self.bound = bound

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.run, self.step, self.last_loss, self.bound)


@dataclass(frozen=True, eq=False)
class Grid:
    """An ensemble over gamma, alpha and seeds; see `grid`.

    Attributes
    ----------
    network : Network
        The ensemble to be trained: every network of the grid once, so that gamma = 1, where alpha
        changes nothing, has one member for each seed.
    gamma, alpha : (G,), (A,) float64 array
    seed : (S,) array
    member : (G, A, S) int64 array
        The member of `network` at each point of the grid.
    """

    network: Network
    gamma: NDArray[np.float64]
    alpha: NDArray[np.float64]
    seed: NDArray[Any]
    member: NDArray[np.int64]

    def to_xarray(self, run: Run) -> xr.Dataset:
        """Return the record of a run with axes gamma, alpha and seed (extra ``sweep``).

        ImportError without xarray; TypeError or ValueError if `run` is not one of as many members.
        """
        _check.instance("Grid.to_xarray", "run", run, kind=Run)
        if run.initial.B != self.network.B:
            raise ValueError(
                f"Grid.to_xarray: run must be of the grid's {self.network.B} members, "
                f"got one of {run.initial.B}"
            )
        xarray = require("xarray", "sweep", "Grid.to_xarray")
        axes = ("gamma", "alpha", "seed")
        table = run.to_xarray().drop_vars(["gamma", "alpha"], errors="ignore")
        points: xr.Dataset = table.isel(member=xarray.DataArray(self.member, dims=axes))
        return points.assign_coords({name: getattr(self, name) for name in axes})


def grid(
    d: int, m: int, *, gamma: ArrayLike, alpha: ArrayLike, seeds: ArrayLike, **settings: Any
) -> Grid:
    """Ensemble of the networks of `Network.init` for all combinations of gamma, alpha and seed.

    Source: the figures of Section 5. Cost: that of `Network.init` for each member.

    Parameters
    ----------
    d, m : int
        Inputs and nodes.
    gamma, alpha : sequences of float
        Of `node_scaling`.
    seeds : int or sequence of int
        The values of `rng`; an integer N means 0, ..., N - 1.
    **settings
        Other keywords of `Network.init`, such as activation, outputs and dtype.

    Returns
    -------
    Grid
        Train ``grid.network`` by any training function; ``grid.to_xarray(run)`` has the axes back.

    Raises
    ------
    TypeError, ValueError
        As `Network.init`; a sequence that is empty, repeats a value or has more than one axis.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> grid = af.grid(d=5, m=50, gamma=[1.0, 0.5, 0.0], alpha=[0.5, 0.7], seeds=2)
    >>> run = af.gradient_descent(grid.network, X, y, steps=10)
    >>> grid.network.B, dict(grid.to_xarray(run).loss.sizes)
    (10, {'record': 11, 'gamma': 3, 'alpha': 2, 'seed': 2})
    """
    fn = "grid"
    if "rng" in settings:
        raise TypeError(f"{fn}: rng must not be given; seeds holds its values")
    if np.ndim(_check.as_array(fn, "seeds", seeds)) == 0:
        seeds = np.arange(_check.COUNT(fn, "seeds", seeds))
    axes = {"gamma": gamma, "alpha": alpha, "seeds": seeds}
    values = {name: _axis(fn, name, given) for name, given in axes.items()}
    names: dict[tuple[float, float | None, int], int] = {}
    points = [
        (float(g), None if g == 1 else float(a), int(seed))
        for g in values["gamma"]
        for a in values["alpha"]
        for seed in values["seeds"]
    ]
    member = np.array([names.setdefault(point, len(names)) for point in points])
    gammas, alphas, rng = (list(axis) for axis in zip(*names, strict=True))
    return Grid(
        Network.init(d, m, gammas, alphas, rng=rng, **settings),
        values["gamma"].astype(np.float64),
        values["alpha"].astype(np.float64),
        values["seeds"],
        member.reshape([len(axis) for axis in values.values()]),
    )


def _axis(fn: str, name: str, given: Any) -> NDArray[Any]:
    values = _check.as_array(fn, name, given)
    kinds = "iu" if name == "seeds" else "iuf"
    if values.dtype.kind not in kinds or values.ndim != 1 or values.size == 0:
        numbers = "integers" if name == "seeds" else "real numbers"
        raise TypeError(
            f"{fn}: {name} must be a non-empty sequence of {numbers}, got {_check.brief(given)}"
        )
    if len(np.unique(values)) < len(values):
        raise ValueError(f"{fn}: {name} must not repeat a value, got {values.tolist()}")
    return values
