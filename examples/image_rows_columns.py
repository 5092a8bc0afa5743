"""What 1-D kernels along rows and along columns see of a photograph, and how cheap both together are.

python examples/image_rows_columns.py --plot pictures.png

On scikit-learn's china.jpg a difference along each row shows vertical edges, one along each column horizontal ones; a
Gaussian along rows and then columns is the 2-D Gaussian, whose rank is one, for a fraction of the multiplications.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_image
from tabulate import tabulate

import xconv

SIDE = 21


def main() -> None:
    """Filter, compare, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="write a picture with all four")
    arguments = parser.parse_args()
    image = (load_sample_image("china.jpg").mean(axis=-1) / 255).astype("float32")[None, :, :, None]  # N, H, W, C
    difference = np.array([-1, 0, 1], "float32").reshape(3, 1, 1)
    edges: dict[str, Any] = {"padding": "same", "padding_mode": "replicate"}
    along_rows = xconv.conv1d_rows(image, difference, **edges)
    along_columns = xconv.conv1d_columns(image, difference, **edges)
    gauss = np.exp(-np.square(np.arange(SIDE) - SIDE // 2) / 32).astype("float32")
    gauss /= gauss.sum()
    line = gauss.reshape(SIDE, 1, 1)
    both = xconv.spatially_separable_conv2d(image, line, line, padding="same", padding_mode="reflect")
    square = np.outer(gauss, gauss)[:, :, None, None]
    blurred = xconv.conv2d(image, square, padding="same", padding_mode="reflect")

    rows = [("difference along rows", "vertical edges", *strongest(along_rows))]
    rows.append(("difference along columns", "horizontal edges", *strongest(along_columns)))
    print(tabulate(rows, ["kernel", "sees", "mean size", "in column", "in row"], floatfmt=".3f"))
    cost = xconv.separable_cost(SIDE, 1, 1)
    print(
        f"a Gaussian of {SIDE} x {SIDE} by rows, then columns takes {cost.true} multiplications a pixel instead of "
        f"{cost.square}, and is off by {np.abs(both - blurred).max():.1e} of a range of 1 "
        f"(the 2-D kernel has rank {xconv.factorize(square).rank})"
    )
    if arguments.plot:
        pictures = {
            "photograph": image,
            "along rows: vertical edges": np.abs(along_rows),
            "along columns: horizontal edges": np.abs(along_columns),
            "rows, then columns: Gaussian": both,
        }
        draw(pictures, arguments.plot)


def strongest(edges: Any) -> tuple[float, int, int]:
    """The mean size of the edges, and the column and the row with the most of them."""
    size = np.abs(edges[0, :, :, 0])
    return float(size.mean()), int(size.sum(axis=0).argmax()), int(size.sum(axis=1).argmax())


def draw(pictures: dict[str, Any], path: str) -> None:
    """The pictures, two by two."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(6.4, 4.7))
    for panel, (title, picture) in zip(panels.flat, pictures.items(), strict=True):
        panel.imshow(picture[0, :, :, 0], cmap="gray_r" if "edges" in title else "gray")
        panel.set_title(title, fontsize="small")
        panel.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()
