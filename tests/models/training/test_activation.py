"""The quick activation computes what HerPN computes, in training and in evaluation."""

import pytest
import torch

from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.herpn import HerPN
from fhe_face.models.training.activation import Activations, coefficients

NEVER = 1e9


@pytest.mark.parametrize(("seed", "spread", "shift"), [(0, 1.0, 0.0), (1, 0.3, 1.5)])
def test_same_outputs_gradients_and_statistics(seed: int, spread: float, shift: float) -> None:
    torch.manual_seed(seed)
    ours, theirs = CryptoFaceNet().double(), CryptoFaceNet().double()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(4, 3, 64, 64).double() * spread + shift
    for training in (True, True, False):
        for network in (ours, theirs):
            network.train(training)
            network.zero_grad()
        expected = theirs(images)
        with Activations(ours, limit=4, clamp=NEVER):
            found = ours(images)
        # The quick form computes in float32 whatever the network's type.
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
        (found**3).sum().backward()
        (expected**3).sum().backward()
        # The same kernels must follow: compare where it is well conditioned.
        one, two = ours.linear.weight.grad, theirs.linear.weight.grad
        assert one is not None
        assert two is not None
        assert (one - two).norm() <= 1e-2 * two.norm()
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, atol=1e-4, rtol=1e-4)


def test_coefficients_are_the_polynomial() -> None:
    torch.manual_seed(1)
    network = CryptoFaceNet()
    for _ in range(3):
        network(torch.randn(8, 3, 64, 64))
    network.eval()
    herpn = network.get_submodule("nets.2.layers.1.herpn1")
    assert isinstance(herpn, HerPN)
    x = torch.randn(2, 16, 5, 5)
    a, b, c = (t.view(1, -1, 1, 1) for t in coefficients(herpn))
    torch.testing.assert_close(a * x**2 + b * x + c, herpn(x))


def test_excess_counts_only_what_is_outside() -> None:
    torch.manual_seed(2)
    network = CryptoFaceNet()
    images = torch.randn(6, 3, 64, 64).clamp(-1, 1)
    for _ in range(3):
        network(images)
    network.eval()
    with Activations(network, limit=1e6, clamp=NEVER) as watch:
        network(images)
        largest = float(watch.largest.max())
        assert watch.excess.tolist() == [0] * 6
    with Activations(network, limit=largest * 0.9, clamp=NEVER) as watch:
        network(images)
        assert (watch.excess > 0).sum() == (watch.largest > largest * 0.9).sum() > 0


def test_clamped_networks_stay_finite_and_are_released() -> None:
    torch.manual_seed(3)
    network = CryptoFaceNet().eval()
    wild = torch.randn(2, 3, 64, 64) * 1e6
    assert not network(wild).isfinite().all()
    with Activations(network, limit=4, clamp=8):
        assert network(wild).isfinite().all()
    assert not network(wild).isfinite().all()
    assert all(getattr(module, "kernel", None) is None for module in network.modules())
