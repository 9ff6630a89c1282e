"""From a CSV file to predictions: searches for a learning algorithm on houses.csv, and keeps it.

Shows a table in pandas, the estimator, rows held out for the score, the program that was found,
and the model as a file of Python that needs NumPy alone. The same from the shell:
azero evolve --data=examples/houses.csv --label=price --output_dir=runs/houses

    python examples/own_csv.py --individuals=20000
"""

import argparse
import pathlib

import pandas

import azero_jax as az

parser = argparse.ArgumentParser()
parser.add_argument("--individuals", type=int, default=20_000, help="programs that the search makes")
parser.add_argument("--file", default=pathlib.Path(__file__).parent / "houses.csv")
parser.add_argument("--label", default="price")
parser.add_argument("--output", help="file for the program in Python")
arguments = parser.parse_args()

table = pandas.read_csv(arguments.file)
held_out = table.sample(frac=0.25, random_state=0)  # what the search must not see
rest = table.drop(held_out.index)

model = az.AutoMLZeroRegressor(max_individuals=arguments.individuals, random_state=0)
model.fit(rest.drop(columns=arguments.label), rest[arguments.label])

print(model.program_)
score = model.score(held_out.drop(columns=arguments.label), held_out[arguments.label])
print(f"{model.search_.individuals:,} programs; R² on {len(held_out)} rows held out: {score:.3f}")

some = held_out.head(3)
for predicted, price in zip(model.predict(some.drop(columns=arguments.label)), some[arguments.label]):
    print(f"predicted {predicted:.0f}, in the table {price:.0f}")

if arguments.output:
    pathlib.Path(arguments.output).write_text(az.to_python(model.program_, name="HousePrices"))
    print(f"{arguments.output}: the learning algorithm, for NumPy")
