"""The page of a run: complete, self-contained, and true to the run's files."""

from __future__ import annotations

import html
import html.parser
import io
import json
import re
import shutil
import subprocess

import pytest
from island_runs import settings

from azero_jax import Program, experiment, ops
from azero_jax.initial_programs import LINEAR, NEURAL_NET, SOFTMAX_REGRESSION
from azero_jax.report import compare_runs, write_picture, write_report
from azero_jax.report.charts import Series, line_chart
from azero_jax.report.flow_graph import flow_graph
from azero_jax.report.gloss import WORDS, gloss
from azero_jax.report.run_files import read_run
from azero_jax.report.story import changes
from azero_jax.reporting import Reporter
from azero_jax.settings import MigrationSettings

RUN = settings(
    2, migration=MigrationSettings(every=200), max_experiments=2, final_tasks="scalar_linear_regression:features_size=3"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run of two islands and two experiments."""
    path = tmp_path_factory.mktemp("runs") / "mine"
    experiment.run(RUN, output_dir=path, progress_every=300, reporter=Reporter(path, io.StringIO()))
    return path


class Page(html.parser.HTMLParser):
    """What is on a page."""

    VOID = ("meta", "link", "br", "circle", "path", "line", "rect")

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.open, self.labels, self.text = [], [], [], [], [], ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.loaded += [given[name] for name in ("src", "srcset", "data") if name in given]
        self.loaded += [given["href"]] if tag == "link" else []
        if tag == "svg":
            assert given["role"] == "img"
            self.labels.append(given["aria-label"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_the_page_is_complete_and_self_contained(run):
    page = Page(text := (run / "report.html").read_text())
    assert len(text) < 3e6 and page.loaded == ["data:,"] and "http" not in text
    assert len(page.ids) == len(set(page.ids))
    assert {"program", "curve", "ancestry", "scores", "size", "work", "settings"} <= set(page.ids)
    assert {link[1:] for link in page.links} <= set(page.ids) and page.links
    assert len(page.labels) == 6 and all(page.labels)
    assert 'lang="en"' in text and 'name="viewport"' in text


def test_the_page_says_what_the_files_say(run):
    text = Page((run / "report.html").read_text()).text
    result = json.loads((run / "result.json").read_text())
    assert result["status"] in text and f"{result['final_fitness']:.4f}" in text
    assert f"{result['individuals']:,}" in text and result["run_id"] in text
    for line in result["program"].splitlines()[1:]:
        assert line.strip() in text or line.startswith("def")
    ancestry = json.loads((run / "ancestry.json").read_text())
    assert f"{ancestry['ancestry'][-1]['fitness']:.4f}" in text
    assert "azero evolve" in text and f"--random_seed={RUN.random_seed}" in text


def test_ancestry_leads_from_the_first_program_to_the_winner(run):
    ancestry = json.loads((run / "ancestry.json").read_text())
    files = read_run(run)
    assert ancestry["run_id"] == files.result["run_id"] and ancestry["experiment"] == files.experiment
    live, _ = changes(files.steps, False, 10_000)
    assert live[-1].program == files.program == (run / "best_program.txt").read_text()
    assert live[-1].fitness == pytest.approx(files.result["search_fitness"])
    improvements = [step.fitness for step in files.improvements]
    assert improvements == sorted(set(improvements))
    few, count = changes(files.steps, False, 3)
    assert len(few) == 3 and count == len(live) and few[-1].program == live[-1].program
    assert few[0].program == live[0].program


@pytest.mark.thorough
def test_ancestry_and_report_survive_an_interrupt_and_a_resume(run, tmp_path):
    steps = iter(range(100))
    with pytest.raises(experiment.Interrupted):
        experiment.run(
            RUN,
            output_dir=tmp_path,
            progress_every=300,
            checkpoint_seconds=0,
            reporter=Reporter(tmp_path, io.StringIO()),
            stop_requested=lambda: next(steps) > 20,
        )
    assert "interrupted" in Page((tmp_path / "report.html").read_text()).text
    experiment.run(None, output_dir=tmp_path, resume=True, reporter=Reporter(tmp_path, io.StringIO()))
    assert (tmp_path / "ancestry.json").read_bytes() == (run / "ancestry.json").read_bytes()


def test_several_runs_side_by_side(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    result = json.loads((other / "result.json").read_text())
    result["settings"]["random_seed"] = 77
    (other / "result.json").write_text(json.dumps(result))
    page = Page(compare_runs([run, other], tmp_path / "both.html").read_text())
    assert "mine" in page.text and "other" in page.text and "random_seed" in page.text and "77" in page.text
    assert "Mean final fitness of 2 runs" in page.text
    again = Page(compare_runs([run, run], tmp_path / "same.html").read_text())
    assert "None." in again.text


def test_a_picture_of_a_run(run, tmp_path):
    picture = write_picture(run, tmp_path / "run.svg").read_text()
    assert picture.startswith("<svg xmlns") and picture.count("<circle") == len(read_run(run).improvements)
    for line in read_run(run).program.splitlines():
        assert html.escape(line).replace("  ", "&#160;&#160;") in picture
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "ancestry.json").unlink()
    with pytest.raises(ValueError, match="no program was found yet"):
        write_picture(copy, tmp_path / "run.svg")


WRONG = {
    "no result": (
        lambda path: (path / "result.json").unlink(),
        r"no result\.json: expected the output directory of a run",
    ),
    "half a result": (lambda path: (path / "result.json").write_text("{"), r"result\.json: "),
    "a list": (lambda path: (path / "result.json").write_text("[]"), r"result\.json: expected a JSON object"),
    "no settings": (lambda path: (path / "result.json").write_text("{}"), r"result\.json: settings"),
    "another run's ancestry": (
        lambda path: (path / "ancestry.json").write_text('{"run_id": "x"}'),
        r"ancestry\.json is of run x, result\.json of",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_named(run, tmp_path, name):
    damage, message = WRONG[name]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    before = (copy / "report.html").read_bytes()
    damage(copy)
    with pytest.raises(ValueError, match=message):
        write_report(copy)
    assert (copy / "report.html").read_bytes() == before


@pytest.mark.parametrize("name", ["elapsed_seconds", "versions", "program", "individuals", "final_fitness_per_task"])
def test_wrong_values_are_named(run, tmp_path, name):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    result = json.loads((copy / "result.json").read_text())
    result[name] = "nonsense"
    (copy / "result.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match=r"result\.json: "):
        write_report(copy)


def test_half_a_report_and_a_run_that_has_found_nothing(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    metrics = (copy / "metrics.jsonl").read_bytes()
    (copy / "metrics.jsonl").write_bytes(metrics + metrics[:50])
    assert len(read_run(copy).metrics) == metrics.count(b"\n")
    for name in ("metrics.jsonl", "ancestry.json"):
        (copy / name).unlink()
    result = json.loads((copy / "result.json").read_text())
    for name in ("final_fitness_per_task", "trivial"):
        result.pop(name)
    empty = dict.fromkeys(("search_fitness", "select_fitness", "final_fitness", "program")) | {"status": "running"}
    (copy / "result.json").write_text(json.dumps(result | empty))
    page = Page(write_report(copy, tmp_path / "page.html").read_text())
    assert "running" in page.text and "program" not in page.ids


def test_text_from_files_cannot_become_html(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"error": "<script>alert(1)</script>", "status": "failed"}))
    text = write_report(copy).read_text()
    assert "&lt;script&gt;alert(1)" in text and "<script>alert" not in text


# What the page tells of a program.


def words_of(text, **arguments):
    return {line.code: line.words for line in gloss(Program.from_text(text), **arguments)}


def test_parts_of_hand_written_programs_are_recognised():
    linear = words_of(LINEAR)
    assert linear["s2 = 0.01"] == "the learning rate s2: 0.01"
    assert linear["s1 = dot(v1, v0)"] == "the prediction: the dot product of the weights v1 and the features"
    assert linear["s3 = s0 - s1"] == "the error: the label minus the prediction"
    assert linear["s3 = s2 * s3"] == "the scaled error: the learning rate s2 times the error"
    assert linear["v2 = s3 * v0"] == "the gradient step: the features times the scaled error"
    assert linear["v1 = v1 + v2"] == "the weights v1, updated: the weights v1 plus the gradient step"
    network = words_of(NEURAL_NET)
    assert network["s1 = s1 + s2"] == "the prediction: the prediction plus the bias s2"
    assert network["v3 = dot(m0, v0)"].endswith("the weights m0 applied to the features")
    softmax = words_of(SOFTMAX_REGRESSION, vector_labels=True)
    assert softmax["v3 = v1 - v2"] == "the error: the label minus the prediction"
    assert softmax["v2 = dot(m0, v0)"] == "the prediction: the weights m0 applied to the features"


def test_every_op_has_words():
    assert set(WORDS) == {op.name for op in ops.table()[: ops.NUM_BUILT_IN_OPS]}
    for op in ops.table()[1 : ops.NUM_BUILT_IN_OPS]:
        line = ops.example(op)
        (glossed,) = gloss(Program.from_text(f"def Learn():\n  {line}\n"))
        assert re.search(r"[a-z0-9]", glossed.words) and "{" not in glossed.words


def test_words_of_ops_that_are_easily_confused():
    """The release's semantics: axis 0 repeats a vector as columns; only a scalar's step is 1 at 0."""
    words = words_of(
        "def Learn():\n  m1 = bcast(v3, axis=0)\n  m2 = bcast(v3, axis=1)\n  s2 = heaviside(s3, 1.0)\n"
        "  v4 = heaviside(v3, 1.0)\n  v5 = norm(m1, axis=0)\n"
    )
    assert words["m1 = bcast(v3, axis=0)"].endswith("whose columns are v3")
    assert words["m2 = bcast(v3, axis=1)"].endswith("whose rows are v3")
    assert words["s2 = heaviside(s3, 1.0)"].endswith("0 or more, else 0")
    assert words["v4 = heaviside(v3, 1.0)"].endswith("above 0, else 0")
    assert words["v5 = norm(m1, axis=0)"].endswith("lengths of the columns of m1")


def test_the_picture_shows_every_instruction_and_what_memory_carries():
    picture = flow_graph(Program.from_text(LINEAR))
    for line in ("s2 = 0.01", "s1 = dot(v1, v0)", "v1 = v1 + v2", "v0  (features)", "s0  (label)"):
        assert line in picture
    assert picture.count("arc carried") == 3  # s2 to Learn; v1 to Predict and to itself
    assert picture.count("arc now") == 7


def test_charts_of_few_points():
    for points in ([], [(1.0, 0.5)], [(0.0, 0.5), (10.0, 0.5)], [(0.0, float("nan")), (5.0, 1.0)]):
        assert "<svg" in line_chart("label & more", [Series("a", points, "best")], "x", "y")


# In a browser.

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.thorough
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_the_page_and_asks_for_nothing(run, tmp_path, width):
    log = tmp_path / "net.json"
    shown = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
            *(
                "--disable-background-networking",
                "--disable-component-update",
                f"--user-data-dir={tmp_path / 'profile'}",
            ),
            *(f"--window-size={width},900", f"--log-net-log={log}", f"--screenshot={tmp_path / 'page.png'}"),
            *("--dump-dom", f"{(run / 'report.html').as_uri()}#best-1"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.search(r'<details class="best" id="best-1" open', shown.stdout)
    assert (tmp_path / "page.png").stat().st_size > 2_000
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text()))
    assert not {url for url in asked if not re.search(r"(google|gvt1|gstatic|chrome)", url)}
