"""Flags: what is wrong with them is said in one line, before anything is made."""

from __future__ import annotations

import pytest
from absl.flags import FlagValues

from azero_jax import SearchSettings, command_line, execution, flags, stages


@pytest.fixture(autouse=True)
def _sixteen_gibibytes(monkeypatch):
    monkeypatch.setattr(execution, "available_memory", lambda: 2**34)


def read(*arguments):
    values = FlagValues()
    flags.define(values)
    command_line.parse(arguments, values)
    return flags.settings(values)


def refusal(*arguments):
    with pytest.raises(ValueError) as caught:
        read(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_flags_they_are_the_settings_of_the_library():
    assert read().islands[0].search == SearchSettings()


NUMBERS = [
    ("--max_seconds=nan", "--max_seconds=nan: expected a number, finite and at least 0"),
    ("--max_seconds=inf", "--max_seconds=inf: expected a number, finite and at least 0"),
    ("--max_seconds=-1", "--max_seconds=-1: expected a number, finite and at least 0"),
    ("--checkpoint_seconds=inf", "--checkpoint_seconds=inf: expected"),
    ("--checkpoint_seconds=nan", "--checkpoint_seconds=nan: expected"),
    ("--sufficient_fitness=nan", "--sufficient_fitness=nan: expected a number"),
    ("--mutate_prob=nan", "--mutate_prob=nan: expected"),
    ("--hurdle_percentile=nan", "--hurdle_percentile=nan: expected"),
    ("--max_abs_error=nan", "--max_abs_error=nan: expected"),
    ("--migrate_share=nan", "--migrate_share=nan: expected"),
    ("--population_size=12.5", "--population_size=12.5: expected a whole number, at least 1"),
    ("--population_size=many", "--population_size=many: expected a whole number, at least 1"),
    ("--population_size=1000000000", "population_size=1000000000: needs about 916 GiB of memory, there are"),
    ("--num_islands=1000000000000", "num_islands=1000000000000: needs about 1.3 EiB of memory, there are"),
    ("--fec_cache_size=1000000000000000", "fec_cache_size=1000000000000000: needs about 222 PiB of memory"),
    ("--hall_of_fame_size=1000000000000", "hall_of_fame_size=1000000000000: needs about 909 TiB of memory"),
    ("--setup_size_init=1000000000", "sizes up to (1000000000, 10, 10): expected at most"),
    ("--funnel_rounds=1000000000", "--funnel_rounds=1000000000: expected at most 30"),
    ("--num_threads=1000000000", "--num_threads=1000000000: expected at most 4,096"),
    ("--max_scalar_addresses=1000000000", "memory scalars=1000000000: expected an integer from 2 to"),
    ("--allowed_mutation_types=identity:1000000000000", "expected a positive integer behind the colon, at most 1,000"),
    (f"--max_individuals={'9' * 30}", "expected at most 9,223,372,036,854,775,807"),
    (f"--random_seed={'9' * 30}", "expected at most 9,223,372,036,854,775,807"),
    ("--progress_every=0", "--progress_every=0: expected a whole number, at least 1"),
    ("--num_islands=0", "--num_islands=0: expected a whole number, at least 1"),
]


@pytest.mark.parametrize(("flag", "message"), NUMBERS)
def test_numbers_that_cannot_be(flag, message):
    assert message in refusal(flag)


def test_unknown_flags_and_values_name_the_nearest():
    assert refusal("--populaton_size=5") == (
        "unknown flag --populaton_size: did you mean --population_size? --help lists the flags"
    )
    assert "--method=papr: did you mean paper? expected one of release, paper" in refusal("--method=papr")
    assert "--resume=maybe: expected true or false" in refusal("--resume=maybe")
    assert "--dtype=float16: did you mean float" in refusal("--dtype=float16")
    assert "Missing value for flag --output_dir" in refusal("--output_dir")


def test_flagfiles_have_names_and_lines(tmp_path):
    assert read("--flagfile=linear_demo").max_stagnant_individuals == 300_000
    assert read("--flagfile", "linear_demo", "--max_individuals=7").max_individuals == 7
    assert "flagfile=liner_demo: no such file, nor a flagfile of this package: did you mean linear_demo?" in refusal(
        "--flagfile=liner_demo"
    )
    path = tmp_path / "mine.flags"
    path.write_text("# mine\n--max_seconds=5\n--populaton_size=3\n")
    assert f"unknown flag --populaton_size in line 3 of {path}: did you mean" in refusal(f"--flagfile={path}")
    path.write_text("--max_seconds=soon\n")
    assert f"--max_seconds=soon in line 1 of {path}: expected a number" in refusal(f"--flagfile={path}")
    path.write_bytes(b"--max_seconds=\xff\xfe\n")
    assert f"flagfile={path}: expected a text file" in refusal(f"--flagfile={path}")
    assert f"flagfile={tmp_path}: expected a text file" in refusal(f"--flagfile={tmp_path}")


def test_an_island_is_blamed_only_for_what_it_says():
    assert refusal("--island_flags=--mutate_prob=2").startswith("island_flags='--mutate_prob=2': mutate_prob=2.0:")
    assert refusal("--island_flags=--mutate_prob=0.5", "--tournament_size=0").startswith("tournament_size=0: expected")
    assert refusal("--island_flags=", "--tournament_size=0").startswith("tournament_size=0: expected")
    assert "island_flags=''" not in refusal("--max_seconds=nan", "--island_flags=")
    # What the run says may be wrong without what the island says.
    wrong_alone = ["--population_size=5", "--tournament_size=10"]
    read(*wrong_alone, "--island_flags=--tournament_size=5")


def test_given_flags_can_be_given_again():
    values = FlagValues()
    flags.define(values)
    command_line.parse(["--flagfile=linear_demo", "--max_seconds=2.5", "--noresume"], values)
    again = FlagValues()
    flags.define(again)
    command_line.parse(command_line.given_flags(values), again)
    assert again.flag_values_dict() == values.flag_values_dict()


WRONG = [
    (["--setup_ops=SCALAR_SUMM"], "unknown op 'SCALAR_SUMM': did you mean SCALAR_SUM"),
    (["--population_size=5", "--tournament_size=10"], "tournament_size=10: expected 1 to population_size=5"),
    (["--search_tasks=mnist"], "tasks 'mnist': unknown generator 'mnist'"),
    (["--search_tasks=npz:path=/no/such.npz"], "/no/such.npz"),
    (["--initial_population=/no/such.txt"], "/no/such.txt"),
    (["--max_scalar_addresses=1"], "memory scalars=1"),
    (["--allowed_mutation_types=crossover"], "mutation types 'crossover'"),
    (["--fec_num_train_examples=101"], "fec_num_train_examples=101"),
    (["--max_train_steps=0", "--max_individuals=0"], "would never end"),
    (["--allowed_mutation_types=identity:0"], "'identity:0': expected a positive integer behind the colon"),
    (["--island_flags=--mutate_prob=2"], "mutate_prob=2.0: expected 0 to 1"),
    (
        ["--island_flags=--mutate_probe=0.5"],
        "island_flags='--mutate_probe=0.5': unknown flag --mutate_probe: did you mean --mutate_prob?",
    ),
    (["--island_flags=--random_seed=5"], "random_seed is of the whole run"),
    (["--island_flags=--max_scalar_addresses=5"], "max_scalar_addresses is of the whole run"),
    (["--island_flags=mnist"], "unexpected argument 'mnist', expected --name=value"),
    (["--num_islands=1", "--island_flags=", "--island_flags="], "num_islands=1: expected at least 2"),
    (["--migrate_share=2"], "migrate_share=2.0: expected more than 0 and at most 1"),
    (["--train_budget_baseline=perceptron"], "train_budget_baseline='perceptron'"),
    (["--hall_of_fame_size=-1"], "hall_of_fame_size"),
    (["--method=mine"], "method"),
    (
        ["--search_tasks=projected_multiclass_classification:features_size=9", "--select_tasks=", "--final_tasks="],
        "features_size=9: expected at least 10, the classes of digits",
    ),
    (
        ["--search_tasks=projected_multiclass_classification:features_size=16", "--final_tasks=projected_digits"],
        "'projected_digits' do not: expected tasks whose labels are all vectors, or all numbers",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_settings_are_named_before_the_search(arguments, message):
    with pytest.raises((ValueError, OSError)) as caught:
        stages.make(read("--max_individuals=100", *arguments))
    assert message in str(caught.value)
