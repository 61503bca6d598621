"""Create the feature files of the CIFAR experiments.

    python examples/cifar_features.py cifar10

Every image, scaled to 224 x 224, goes through torchvision's ResNet-18 with its ImageNet weights;
the 512 numbers before its last layer are the features. Needs the extra ``torch``, and the
network for images and weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def penultimate(
    network: Any, batches: Iterable[tuple[Any, Any]], device: str = "cpu"
) -> tuple[Array, Array]:
    """Features and labels of labelled images.

    Parameters
    ----------
    network : torch.nn.Module
        Gives (b, 512) features of (b, 3, 224, 224) images; it is put into evaluation mode.
    batches : iterable of (images, labels)
        Tensors.
    device : str
        Of the network and the images.

    Returns
    -------
    features : (n, 512) float32 array
    labels : (n,) int64 array
    """
    import torch

    network = network.to(device).eval()
    features, labels = [], []
    with torch.inference_mode():
        for images, of_images in batches:
            features.append(network(images.to(device)).float().cpu().numpy())
            labels.append(of_images.numpy().astype(np.int64))
    return np.concatenate(features), np.concatenate(labels)


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``<name>_resnet18.npz`` with x_train, y_train, x_test and y_test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("cifar10", "cifar100"))
    parser.add_argument("--images", type=Path, default=Path("images"), help="where they are kept")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the feature file (.)")
    parser.add_argument("--device", default="cpu", help="as PyTorch names it (cpu)")
    options = parser.parse_args(argv)
    try:
        import torch
        import torchvision
    except ImportError as missing:
        raise SystemExit(
            f"this needs torch and torchvision ({missing}); "
            "install them with: pip install 'asymfast[torch]'"
        ) from None
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    network = torchvision.models.resnet18(weights=weights)
    network.fc = torch.nn.Identity()
    # The whole image at the size the weights were trained for; nothing is cut off.
    look = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize((224, 224)),
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    kind = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}[options.name]
    arrays: dict[str, Array] = {}
    for part in ("train", "test"):
        images = getattr(torchvision.datasets, kind)(
            options.images, train=part == "train", transform=look, download=True
        )
        batches = torch.utils.data.DataLoader(images, batch_size=128)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = penultimate(network, batches, options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.name}_resnet18.npz"
    np.savez(path, allow_pickle=False, **arrays)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
