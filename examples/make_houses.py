"""Makes houses.csv, the table of the other examples: invented flats with their prices, the same each time.

python examples/make_houses.py
"""

import pathlib

import numpy as np

ROWS = 120
FILE = pathlib.Path(__file__).parent / "houses.csv"


def table() -> str:
    """The text of the file."""
    rng = np.random.default_rng(7)
    area = rng.uniform(25, 140, ROWS).round(1)
    age = rng.integers(0, 90, ROWS)
    distance = rng.exponential(6, ROWS).round(1)
    price = 3.1 * area - 0.6 * age - 4.5 * distance + 0.01 * (area - 80) ** 2 + 90
    price = (price + rng.normal(0, 12, ROWS)).round(1)
    rows = [f"{a},{b},{c},{d}" for a, b, c, d in zip(area, age, distance, price)]
    return "\n".join(["area,age,distance,price", *rows]) + "\n"


if __name__ == "__main__":
    FILE.write_text(table())
    print(f"{FILE}: {ROWS} rows")
