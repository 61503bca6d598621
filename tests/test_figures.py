"""The four-panel figure: that it shows the numbers of the runs, and writes whole files."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from asymfast import plot

matplotlib = pytest.importorskip("matplotlib")
Figure = pytest.importorskip("matplotlib.figure").Figure

RECORDS, MEMBERS, NODES = 12, 3, 9


def made_up_run(members=MEMBERS, seed=0, **changes):
    """An object with the attributes of a Run that the figure reads; None: a single network."""
    rng = np.random.default_rng(seed)
    shape = (RECORDS,) if members is None else (RECORDS, members)
    run = SimpleNamespace(
        steps=np.arange(RECORDS) * 10,
        time=np.arange(RECORDS) * 0.5,
        loss=np.exp(-np.arange(RECORDS)).reshape(-1, *[1] * (len(shape) - 1)) * rng.random(shape),
        test_loss=None,
        weight_change=np.cumsum(rng.random((*shape, NODES)), axis=0),
        ntg_change=np.cumsum(rng.random(shape), axis=0),
        ntg_eigmin=rng.random(shape) * 1e-4,
        config={"loss": "half_sse"},
    )
    for name, value in changes.items():
        setattr(run, name, value)
    return run


# One process draws for all tests.
pytestmark = pytest.mark.xdist_group("figures")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The same figure, built and written twice."""
    folder = tmp_path_factory.mktemp("figures")
    for name in ("first", "second-gamma0.5-alpha0.7"):
        plot.save(plot.training_figure({"run": made_up_run()}), folder / name)
    return folder


def labelled(axes, name):
    """The bold line of a run."""
    (line,) = [line for line in axes.lines if line.get_label() == name]
    return line


def remarks(axes):
    return [text.get_text() for text in axes.texts]


def test_panels_show_the_means_over_the_members():
    runs = {"one": made_up_run(seed=1), "two": made_up_run(seed=2)}
    with pytest.raises(TypeError, match="runs must be a mapping"):
        plot.training_figure(runs["one"])
    loss, weights, ntg, eigenvalue = plot.training_figure(runs).axes[:4]
    for name, run in runs.items():
        for axes, values in ((loss, run.loss), (ntg, run.ntg_change), (eigenvalue, run.ntg_eigmin)):
            line = labelled(axes, name)
            np.testing.assert_array_equal(line.get_xdata(), run.steps)
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=1), rtol=1e-14)
        most = run.weight_change[-1].max(axis=-1).mean()
        np.testing.assert_allclose(labelled(weights, name).get_ydata()[-1], most, rtol=1e-14)
    assert loss.get_yscale() == eigenvalue.get_yscale() == "log"
    assert weights.get_yscale() == ntg.get_yscale() == "linear"


def test_bands_reach_from_the_smallest_to_the_largest_member():
    run = made_up_run()
    ntg = plot.training_figure({"run": run}).axes[2]
    (band,) = ntg.collections
    outline = band.get_paths()[0].vertices
    for t, step in enumerate(run.steps):
        heights = outline[outline[:, 0] == step][:, 1]
        assert heights.min() == run.ntg_change[t].min()
        assert heights.max() == run.ntg_change[t].max()


def test_weight_panel_follows_the_nodes_that_moved_most_at_the_end():
    # Node 4 is ahead for most of the run, and overtaken at the end by nodes 2, then 7.
    change = np.tile(np.linspace(0, 1, RECORDS)[:, None], (1, NODES))
    change[1:-1, 4] = 50.0
    change[-1, 2], change[-1, 7] = 30.0, 20.0
    run = made_up_run(members=None, weight_change=change)
    weights = plot.training_figure({"run": run}, top=2).axes[1]
    assert len(weights.lines) == 2
    np.testing.assert_array_equal(labelled(weights, "run").get_ydata(), change[:, 2])
    np.testing.assert_array_equal(weights.lines[1].get_ydata(), change[:, 7])
    assert "top 2 nodes" in weights.get_title(loc="left")


def test_each_member_ranks_its_own_nodes():
    change = np.zeros((2, 2, 3))
    change[-1] = [[5.0, 1.0, 0.0], [0.0, 1.0, 7.0]]
    run = made_up_run(
        steps=np.array([0, 1]),
        weight_change=change,
        loss=np.ones((2, 2)),
        ntg_change=None,
        ntg_eigmin=None,
    )
    weights = plot.training_figure({"run": run}, top=1).axes[1]
    assert labelled(weights, "run").get_ydata()[-1] == 6.0
    assert "top node" in weights.get_title(loc="left")


def test_no_more_nodes_than_there_are():
    run = made_up_run(weight_change=np.ones((RECORDS, MEMBERS, 2)))
    weights = plot.training_figure({"run": run}, top=5).axes[1]
    assert len(weights.lines) == 2
    assert "top 2 nodes" in weights.get_title(loc="left")


def test_single_run_has_no_band_and_no_legend():
    figure = plot.training_figure({"run": made_up_run(members=None)}, title="a title")
    assert not figure.legends
    assert all(not axes.collections for axes in figure.axes)
    assert "a title" in [text.get_text() for text in figure.texts]


def test_legend_names_the_runs_and_their_looks_differ():
    runs = {f"run {i}": made_up_run(seed=i) for i in range(4)}
    figure = plot.training_figure(runs)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(runs)
    lines = [labelled(figure.axes[0], name) for name in runs]
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_marker() for line in lines}) == 4


def test_time_on_the_horizontal_axis():
    run = made_up_run()
    axes = plot.training_figure({"run": run}, against="time").axes
    np.testing.assert_array_equal(labelled(axes[0], "run").get_xdata(), run.time)
    assert "time" in axes[2].get_xlabel()


def test_test_loss_is_a_thin_line():
    run = made_up_run(test_loss=np.full((RECORDS, MEMBERS), 2.0))
    loss = plot.training_figure({"run": run}).axes[0]
    thin = [line for line in loss.lines if line.get_label() != "run"]
    assert len(thin) == 1
    assert (thin[0].get_ydata() == 2.0).all()
    assert "test risk" in loss.get_title(loc="left")


@pytest.mark.parametrize(
    ("losses", "label"),
    [
        (["half_sse"], "half the sum of squares"),
        (["mse"], "mean squared error"),
        (["mse", "half_sse"], "loss"),
    ],
)
def test_loss_axis_says_which_loss(losses, label):
    runs = {f"{i}": made_up_run(config={"loss": loss}) for i, loss in enumerate(losses)}
    assert label in plot.training_figure(runs).axes[0].get_ylabel()


def test_values_that_are_not_positive_are_left_out_and_counted():
    eigmin = np.full(RECORDS, 1e-4)
    eigmin[3], eigmin[5], eigmin[6] = -1e-19, 0.0, np.nan
    run = made_up_run(members=None, ntg_eigmin=eigmin)
    panel = plot.training_figure({"run": run}).axes[3]
    drawn = labelled(panel, "run").get_ydata()
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [3, 5, 6]
    assert remarks(panel) == ["3 of 12 values not positive or not finite: left out"]
    assert panel.get_yscale() == "log"


def test_nothing_positive_gets_a_linear_axis():
    run = made_up_run(ntg_eigmin=np.full((RECORDS, MEMBERS), -1e-18))
    panel = plot.training_figure({"run": run}).axes[3]
    assert panel.get_yscale() == "linear"
    assert remarks(panel) == ["no positive value: linear axis"]
    assert (labelled(panel, "run").get_ydata() < 0).all()


def test_what_was_not_recorded_is_said():
    run = made_up_run(ntg_change=None, ntg_eigmin=None)
    axes = plot.training_figure({"run": run}).axes
    assert remarks(axes[2]) == remarks(axes[3]) == ["not recorded"]


def test_a_diverged_run_is_drawn_as_far_as_it_went():
    run = made_up_run()
    run.loss[-1] = np.inf
    run.weight_change[-1] = np.nan
    run.ntg_change[-1] = np.nan
    run.ntg_eigmin[-1] = np.nan
    figure = plot.training_figure({"run": run})
    weights = labelled(figure.axes[1], "run").get_ydata()
    assert np.isfinite(weights[:-1]).all()
    assert np.isnan(weights[-1])
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        ({}, {}, "training_figure: runs must have 1 to 7 entries, got 0"),
        (dict.fromkeys(map(str, range(8))), {}, "runs must have 1 to 7 entries, got 8"),
        ({"run": None}, {"against": "epoch"}, "against must be one of step, time, got 'epoch'"),
        ({"run": None}, {"top": 0}, "top must be at least 1, got 0"),
        ({"run": SimpleNamespace(steps=[])}, {}, "the run 'run' has no records to draw"),
    ],
)
def test_arguments_are_checked(runs, options, message):
    with pytest.raises(ValueError, match=message):
        plot.training_figure(runs, **options)


def test_what_is_no_run_and_no_figure_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"training_figure: runs\['a'\] must be a Run, got str"):
        plot.training_figure({"a": "b"})
    with pytest.raises(TypeError, match="training_figure: title must be text, got 3"):
        plot.training_figure({"a": made_up_run()}, title=3)
    with pytest.raises(TypeError, match=r"plot\.save: figure must be a Figure, got dict"):
        plot.save({}, tmp_path / "figure")


def test_save_writes_png_and_pdf_and_nothing_else(saved):
    names = ["first", "second-gamma0.5-alpha0.7"]
    written = [f"{name}.{ending}" for name in names for ending in ("pdf", "png")]
    assert sorted(path.name for path in saved.iterdir()) == written
    png, pdf = ((saved / f"first.{ending}").read_bytes() for ending in ("png", "pdf"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"/Type3" not in pdf, "journals refuse Type 3 fonts"


@pytest.mark.parametrize("ending", ["", ".png", ".pdf"])
def test_save_takes_the_name_of_either_file(tmp_path, ending):
    written = plot.save(Figure(), tmp_path / f"x.y{ending}")
    assert [path.name for path in written] == ["x.y.png", "x.y.pdf"]


def test_png_is_as_large_as_stated(saved):
    import matplotlib.image

    height, width, _ = matplotlib.image.imread(saved / "first.png").shape
    assert (width, height) == (1200, 900)


def test_the_same_runs_give_the_same_bytes(saved):
    for ending in ("png", "pdf"):
        first, second = sorted(saved.glob(f"*.{ending}"))
        assert first.read_bytes() == second.read_bytes()


def test_save_into_a_missing_folder_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        plot.save(Figure(), tmp_path / "missing" / "figure")
    assert not list(tmp_path.iterdir())


def test_user_settings_and_pyplot_stay_untouched():
    before = dict(matplotlib.rcParams)
    plot.training_figure({"run": made_up_run()})
    assert dict(matplotlib.rcParams) == before


def test_importing_figures_imports_no_matplotlib():
    code = "import sys, asymfast.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_matplotlib_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'asymfast\[plot\]'"):
        plot.training_figure({"run": made_up_run()})


WHOLE = (
    "import asymfast as af\n"
    "X, y = af.datasets.simulated(n=4, d=2, rng=0)\n"
    "net = af.Network.init(d=2, m=9, gamma=0.5, alpha=0.7, rng=1)\n"
    "run = af.gradient_descent(net, X, y, lr=0.1, steps=4)\n"
    "af.plot.save(af.plot.training_figure({'a': run, 'b': run}, title='$x$'), 'figure')\n"
)
# As `WHOLE` uses matplotlib, without the seconds that the drawing of four panels takes.
BUILT = (
    "import asymfast as af\n"
    "X, y = af.datasets.simulated(n=4, d=2, rng=0)\n"
    "net = af.Network.init(d=2, m=9, gamma=0.5, alpha=0.7, rng=1)\n"
    "af.plot.training_figure({'a': af.gradient_descent(net, X, y, lr=0.1, steps=4)})\n"
    "from matplotlib.figure import Figure\n"
    "af.plot.save(Figure(), 'figure')\n"
)


def drawn_elsewhere(tmp_path, code, **environment):
    """Draw and save a figure in a process with other environment variables."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "backend",
    ["module://missing", *(pytest.param(b, marks=pytest.mark.slow) for b in ("nonsense", "qtagg"))],
)
def test_the_backend_of_the_environment_does_not_matter(tmp_path, backend):
    done = drawn_elsewhere(tmp_path, BUILT, MPLBACKEND=backend)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_settings_of_the_user_do_not_matter(tmp_path):
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfigure.autolayout: True\nsavefig.bbox: tight\nsavefig.format: svg\n"
        "axes.formatter.use_locale: True\naxes.facecolor: black\nbackend: qtagg\n"
    )
    settings = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PATH": "/nonexistent"}
    done = drawn_elsewhere(tmp_path, WHOLE, **settings)
    assert done.returncode == 0, done.stderr
    mine = tmp_path / "mine"
    mine.mkdir()
    assert drawn_elsewhere(mine, WHOLE).returncode == 0
    assert (tmp_path / "figure.png").read_bytes() == (mine / "figure.png").read_bytes()


def test_an_error_while_drawing_is_a_figure_error(tmp_path, monkeypatch):
    figure = plot.training_figure({"run": made_up_run()})

    def fails(*_args, **_keywords):
        raise KeyError("inside matplotlib")

    monkeypatch.setattr(figure, "savefig", fails)
    with pytest.raises(plot.FigureError, match=r"plot.save: .* KeyError: 'inside matplotlib'"):
        plot.save(figure, tmp_path / "figure")
    assert not list(tmp_path.iterdir())
    with pytest.raises(plot.FigureError, match=r"training_figure: .*AttributeError"):
        plot.training_figure({"run": SimpleNamespace(steps=[0])})


@pytest.mark.parametrize(
    ("last", "against"),
    [
        *((7, "step"), (0.003, "time"), (123_456_789, "step")),
        *(
            pytest.param(last, against, marks=pytest.mark.slow)
            for last in (1999, 60_000, 999_999, 10**7)
            for against in ("step", "time")
        ),
    ],
)
def test_tick_labels_stay_apart(last, against):
    places = np.linspace(0, last, RECORDS)
    figure = plot.training_figure({"run": made_up_run(steps=places, time=places)}, against=against)
    figure.draw_without_rendering()
    for axes in figure.axes[2:4]:
        low, high = axes.get_xlim()
        ticks = axes.xaxis.get_major_ticks()
        shown = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
        assert len(shown) >= 2
        extents = [label.get_window_extent() for label in shown]
        gaps = [right.x0 - left.x1 for left, right in pairwise(extents)]
        assert min(gaps) >= 4, [label.get_text() for label in shown]


def test_names_that_are_not_formulas_are_text():
    names = {
        "cost in $ of \udcff": r"cost in $ of \xff",
        "$a_$ and $": r"\$a_\$ and \$",
        r"$\gamma$ = 0.5": r"$\gamma$ = 0.5",
        "a\tb": r"a\tb",
        r"$\nosuch$": r"\$\nosuch\$",
    }
    run = made_up_run()
    for name, shown in names.items():
        assert plot.training_figure({"run": run}, title=name).get_suptitle() == shown
    figure = plot.training_figure(dict.fromkeys(["price_$_a$b", *names], run), title="price_$_a$b")
    figure.draw_without_rendering()


def test_members_that_took_different_steps_share_an_axis():
    steps = np.arange(RECORDS)[:, None] * [10, 20, 60]
    line = labelled(plot.training_figure({"run": made_up_run(steps=steps)}).axes[0], "run")
    np.testing.assert_array_equal(line.get_xdata(), np.arange(RECORDS) * 30)


def test_drawing_does_not_depend_on_the_floating_point_settings():
    run = made_up_run(ntg_eigmin=np.full((RECORDS, MEMBERS), 1e-300))
    with np.errstate(all="raise"):
        plot.training_figure({"run": run}).draw_without_rendering()


def test_a_run_without_a_finite_record_is_drawn():
    nothing = np.full((RECORDS, MEMBERS, NODES), np.nan)
    figure = plot.training_figure({"run": made_up_run(weight_change=nothing)})
    assert np.isnan(labelled(figure.axes[1], "run").get_ydata()).all()
