"""Arrays on a GPU: what the two protocols say of them is read right, or refused, on any machine."""

from __future__ import annotations

import gc
import weakref

import asymfast as af
import emulated
import numpy as np
import pytest
from asymfast import _device as arrays
from cases import problem


class Interface:
    """Something with `__cuda_array_interface__`; its memory is never touched."""

    def __init__(self, **changed):
        self.__cuda_array_interface__ = {
            "shape": (3, 5),
            "typestr": "<f4",
            "data": (0x7000, False),
            "version": 3,
            "strides": None,
            "stream": None,
            **changed,
        }


class Dlpack:
    """Something with DLPack's methods on a device of our choice."""

    def __init__(self, array, device=(2, 0)):
        self.array, self.device, self.asked = array, device, []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None):
        self.asked.append(stream)
        return self.array.__dlpack__()


def view(value):
    """The array, which must not be read, and its stream."""
    return arrays.device_array("fn", "X", value)


def test_interface():
    got, stream = view(Interface())
    assert (got.ctypes.data, got.shape, got.dtype, stream) == (0x7000, (3, 5), np.float32, None)
    assert view(Interface(stream=2))[1] == 2
    assert view(Interface(typestr="<f8", strides=(40, 8)))[0].dtype == np.float64
    # Version 2 does not say which stream fills the array: all are waited for.
    assert view(Interface(version=2))[1] == 0
    assert view(Interface(version=3))[1] is None
    # A stride over an axis of length 1 means nothing.
    assert view(Interface(shape=(1, 5), strides=(999, 4)))[0].shape == (1, 5)
    assert repr(got) == str(got) == "OnDevice(shape=(3, 5), dtype=float32)"


def test_an_interface_keeps_its_owner():
    value = Interface()
    alive, (got, _) = weakref.ref(value), view(value)
    part = got[1:]
    del value, got
    gc.collect()
    assert alive() is not None
    del part
    gc.collect()
    assert alive() is None


def test_the_protocol_that_waits_for_streams_comes_first():
    class Both(Interface, Dlpack):
        def __init__(self):
            Interface.__init__(self, version=2)
            Dlpack.__init__(self, np.ones((2, 3)))

    value = Both()
    assert view(value)[0].shape == (2, 3)
    assert value.asked == [1]  # the legacy default stream, on which our kernels run


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"version": 1}, TypeError, "version 2 or 3, got 1"),
        ({"typestr": "<i4"}, TypeError, "expected dtype float64 or float32, got int32"),
        ({"typestr": ">f4"}, TypeError, "expected dtype float64 or float32, got >f4"),
        ({"typestr": "<f2"}, TypeError, "got float16"),
        ({"mask": object()}, ValueError, "masked"),
        ({"strides": (4, 12)}, ValueError, "C-contiguous"),
        ({"strides": (-20, 4)}, ValueError, "C-contiguous"),
        ({"shape": (0, 5)}, ValueError, "must not be empty"),
        ({"shape": ()}, ValueError, "must not be empty"),
        ({"data": (0x7002, False)}, ValueError, "aligned"),
        ({"stream": 0}, ValueError, "stream 0"),
        ({"typestr": None}, TypeError, "invalid __cuda_array_interface__"),
    ],
)
def test_what_an_interface_must_not_say(changed, kind, message):
    with pytest.raises(kind, match=f"^fn: X.*{message}"):
        view(Interface(**changed))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dlpack(dtype):
    array = np.arange(15, dtype=dtype).reshape(3, 5)
    value = Dlpack(array)
    got, stream = view(value)
    assert (got.ctypes.data, got.shape, got.dtype) == (array.ctypes.data, (3, 5), array.dtype)
    assert stream is None
    assert value.asked == [1]  # the producer is told the stream that the kernels run on
    part = np.arange(30, dtype=dtype).reshape(6, 5)[2:4]
    assert view(Dlpack(part))[0].ctypes.data == part.ctypes.data


def test_dlpack_keeps_its_memory_as_long_as_the_view_lives():
    class Array(np.ndarray):
        """One that can be watched."""

    array = np.ones(3).view(Array)
    alive, got = weakref.ref(array), view(Dlpack(array))
    del array
    gc.collect()
    assert alive() is not None
    del got
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (Dlpack(np.ones((3, 5)), (1, 0)), ValueError, r"first CUDA device, got .*\(1, 0\)"),
        (Dlpack(np.ones((3, 5)), (2, 1)), ValueError, r"first CUDA device, got .*\(2, 1\)"),
        (Dlpack(np.ones((3, 5), dtype=np.int32)), TypeError, "expected dtype"),
        (Dlpack(np.ones((3, 5), dtype=np.float16)), TypeError, "expected dtype"),
        (Dlpack(np.ones((3, 5)).T), ValueError, "C-contiguous"),
        (object(), TypeError, "must be an array on the GPU, got object"),
    ],
)
def test_what_dlpack_must_not_say(value, kind, message):
    with pytest.raises(kind, match=f"^fn: X.*{message}"):
        view(value)


def test_a_capsule_is_taken_once():
    capsule = np.ones(3).__dlpack__()
    af._core.dlpack_array(capsule)
    for used in (capsule, object(), None):
        with pytest.raises(TypeError, match="capsule"):
            af._core.dlpack_array(used)


def test_calls_on_the_cpu_refuse_what_is_on_a_gpu():
    case = problem(n=3, d=5, m=4)
    for value in (Interface(), Dlpack(case.X)):
        with pytest.raises(
            TypeError, match="X must be in the memory of the CPU, got an array on CUDA"
        ):
            case.net(value)
        with pytest.raises(TypeError, match="array on CUDA, which device='cuda' takes"):
            af.gradient_descent(case.net, value, case.y, steps=1)


@pytest.mark.skipif(af.cuda.is_available(), reason="there is a CUDA device")
def test_arrays_on_a_gpu_need_cuda_as_well():
    case = problem(n=3, d=5, m=4)
    for call in (
        lambda: case.net(Interface(), device="cuda"),
        lambda: case.net.ntg(Interface(), device="cuda"),
        lambda: af.gradient_descent(case.net, Interface(), case.y, steps=1, device="cuda"),
    ):
        with pytest.raises(RuntimeError, match="device='cuda' needs"):
            call()


# --- on the emulated device ----------------------------------------------------------------------


class OnGpu:
    """An array in the emulated device's memory, which is the host's."""

    def __init__(self, array):
        self.array = np.ascontiguousarray(array)
        self.__cuda_array_interface__ = {**self.array.__array_interface__, "stream": None}


@pytest.fixture
def emulation():
    if emulated.modules() is None:
        pytest.skip("no emulated device: CMake option ASYMFAST_EMULATED")
    with emulated.device():
        yield


def ensemble():
    """Two members, each with inputs of its own."""
    one, two = (problem(outputs=3, seed=seed) for seed in range(2))
    return one._replace(
        net=af.Network.stack([one.net, two.net]),
        X=np.stack([one.X, two.X]),
        y=np.stack([one.y, two.y]),
    )


@pytest.mark.parametrize("case", [problem(), problem(dtype="float32"), ensemble()])
def test_results_stay_on_the_device(emulation, case):
    X, y, on = OnGpu(case.X), OnGpu(case.y), {"device": "cuda"}
    two = case.X[..., :2, :]
    rtol = 1e-5 if case.net.dtype == np.float32 else 1e-12
    for got, exact in [
        (case.net(X, **on), case.net(case.X)),
        (case.net.features(X, **on), case.net.features(case.X)),
        (case.net.node_gradients(X, y, **on), case.net.node_gradients(case.X, case.y)),
        (case.net.ntg(X, **on), case.net.ntg(case.X)),
        (case.net.ntg(X, OnGpu(two), **on), case.net.ntg(case.X, two)),
    ]:
        assert not isinstance(got, np.ndarray)
        assert (got.shape, got.dtype) == (exact.shape, exact.dtype)
        assert got.__dlpack_device__() == (2, 0)
        taken = arrays.to_host("fn", "X", got), arrays.to_host("fn", "X", Interfaced(got))
        for there in (*taken, got.numpy()):
            np.testing.assert_allclose(there, exact, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(case.net.loss(X, y, **on), case.net.loss(case.X, case.y), rtol=rtol)
    K = case.net.ntg(X, **on).numpy()
    np.testing.assert_array_equal(K, K.swapaxes(-1, -2))


class Interfaced:
    """An array's `__cuda_array_interface__` alone."""

    def __init__(self, array):
        self.array, self.__cuda_array_interface__ = array, array.__cuda_array_interface__


def test_inputs_on_the_device_are_checked(emulation):
    case, on = problem(), {"device": "cuda"}
    for X, kind, message in [
        (case.X.astype(np.float32), TypeError, "X: expected dtype float64, got float32"),
        (case.X[:, 1:], ValueError, r"X must have shape \(n, "),
    ]:
        with pytest.raises(kind, match=message):
            case.net(OnGpu(X), **on)
    bad = case.X.copy()
    bad[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite, got NaN or inf at index \(1, 2\)"):
        case.net(OnGpu(bad), **on)
    with pytest.raises(ValueError, match="y must have shape"):
        case.net.loss(OnGpu(case.X), OnGpu(case.y[1:]), **on)


def test_results_beyond_the_range_are_refused_on_the_device(emulation):
    case = problem(activation="identity")
    net, on = (
        af.Network(1e200 * case.net.W, case.net.a, case.net.lam, activation="identity"),
        "cuda",
    )
    with pytest.raises(OverflowError, match=r"Network\.features: the result exceeds"):
        net.features(OnGpu(1e150 * case.X), device=on)
    with pytest.raises(OverflowError, match=r"Network\.ntg: the result exceeds"):
        case.net.ntg(OnGpu(1e160 * case.X), device=on)


def test_inputs_of_a_network_with_bias_come_by_the_host(emulation):
    case = problem()
    net = af.Network.init(case.X.shape[1], 5, 0.5, 0.7, rng=0, bias=True)
    np.testing.assert_allclose(net(OnGpu(case.X), device="cuda"), net(case.X), rtol=1e-12)


def test_a_consumer_may_ask_for_a_copy(emulation):
    case = problem()
    result = case.net.features(OnGpu(case.X), device="cuda")

    def pointer(**settings):
        return af._core.dlpack_array(result.__dlpack__(**settings)).ctypes.data

    own = result.__cuda_array_interface__["data"][0]
    assert pointer() == pointer(copy=False, stream=1, max_version=(1, 0)) == own
    assert pointer(dl_device=(2, 0)) == own
    assert pointer(copy=True) != own
    with pytest.raises(BufferError, match=r"dl_device.*device 0, \(2, 0\), got \(1, 0\); numpy"):
        result.__dlpack__(dl_device=(1, 0))


def test_memory_of_a_result_is_released_with_its_last_user(emulation):
    case, (_, device) = problem(), emulated.modules()
    device.most_memory()
    before = device.most_memory()
    result = case.net.features(OnGpu(case.X), device="cuda")
    user = af._core.dlpack_array(result.__dlpack__())
    size = user.nbytes
    del result
    gc.collect()
    device.most_memory()
    assert device.most_memory() == before + size
    del user
    gc.collect()
    device.most_memory()
    assert device.most_memory() == before


# --- on a GPU ------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    if not af.cuda.is_available():
        pytest.skip("no CUDA device")
    module = pytest.importorskip("torch")
    if not module.cuda.is_available():
        pytest.skip("a PyTorch without CUDA")
    return module


def test_results_stay_on_the_gpu(torch):
    case = problem()
    X, y = torch.tensor(case.X).cuda(), torch.tensor(case.y).cuda()
    on = {"device": "cuda"}
    pairs = [
        (case.net(X, **on), case.net(case.X)),
        (case.net.features(X, **on), case.net.features(case.X)),
        (case.net.node_gradients(X, y, **on), case.net.node_gradients(case.X, case.y)),
        (case.net.ntg(X, **on), case.net.ntg(case.X)),
    ]
    for got, exact in pairs:
        for there in (torch.as_tensor(got, device="cuda"), torch.from_dlpack(got)):
            assert there.is_cuda
            np.testing.assert_allclose(there.cpu(), exact, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(got.numpy(), there.cpu())
    np.testing.assert_allclose(case.net.loss(X, y, **on), case.net.loss(case.X, case.y), rtol=1e-12)
    X[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"X must be finite, got NaN or inf at index \(1, 2\)"):
        case.net(X, **on)


def test_the_stream_of_an_array_is_waited_for(torch):
    case = problem(n=2000, d=50, m=100)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        X = torch.tensor(case.X).cuda()
        big = torch.ones((4000, 4000), device="cuda")
        for _ in range(20):
            big = big @ big * 1e-4
        X = X + 0 * big[0, 0]
        got = case.net(X, device="cuda")
    np.testing.assert_allclose(got.numpy(), case.net(case.X), rtol=1e-11, atol=1e-11)


def test_runs_take_arrays_on_the_gpu(torch):
    case = problem()
    X, y = torch.tensor(case.X).cuda(), torch.tensor(case.y).cuda()
    got = af.gradient_descent(case.net, X, y, lr=0.01, steps=20, device="cuda")
    exact = af.gradient_descent(case.net, case.X, case.y, lr=0.01, steps=20)
    np.testing.assert_allclose(got.loss, exact.loss, rtol=1e-11)
