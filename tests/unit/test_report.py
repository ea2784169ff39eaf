"""
The report of a study: its facts, its formats, its plots, and text from outside in them.
"""

import itertools
import json
import random
import re
from html.parser import HTMLParser

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

import sllmbo.report as report
from sllmbo import Float, Int, LLMTPESampler, SearchSpace, Task, Tuner
from sllmbo.advisors import Advice
from sllmbo.cli.app import run
from sllmbo.report._draw import DARK
from sllmbo.report._sentences import advice, headline, share
from sllmbo.samplers import Alternating, study_history
from sllmbo.samplers._ledger import StudyMeter
from sllmbo.samplers._turns import is_abandoned
from sllmbo.testing import ScriptedAdvisor
from sllmbo.tuner.result import study_worth
from sllmbo.usage import Usage

HOSTILE = "</script><script>alert(1)</script> \"'`|*[x](http://evil.example)<img src=x onerror=alert(1)> \u202e"
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # names of metrics

PLOTS = [getattr(report, name) for name in report.__all__ if name.startswith("plot_")]


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def tuned():
    """A study of 30 trials that the rules and TPE served, with two failures."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = SearchSpace({"x": Float(-5, 5, default=3.0), "depth": Int(1, 9, default=2)})
    tuner = Tuner(space, task=Task(direction="minimize", metric="mae", n_trials=30), llm="offline", seed=0)
    for number in range(30):
        trial = tuner.ask()
        if number in (7, 11):
            tuner.tell(trial, failure=MemoryError("no room"))
        else:
            tuner.tell(trial, trial.params["x"] ** 2 + trial.params["depth"], details={"std": 0.1})
    return tuner.study


def hostile_study():
    space = {HOSTILE: FloatDistribution(0, 1), "kind": CategoricalDistribution([HOSTILE, "b"])}
    attrs = {
        "sllmbo:source": HOSTILE,
        "sllmbo:rationale": HOSTILE + " A larger kind helped.",
        "sllmbo:origin": HOSTILE,
        "sllmbo:fallback": {"kind": HOSTILE, "reason": HOSTILE},
        "sllmbo:usage": {"calls": 1, "input_tokens": 5, "output_tokens": 5},
    }
    study = optuna.create_study(study_name=HOSTILE)
    study.set_metric_names([HOSTILE])
    for i in range(25):
        params = {HOSTILE: i / 25, "kind": HOSTILE if i % 2 else "b"}
        study.add_trial(create_trial(params=params, distributions=space, value=float(i), user_attrs=attrs))
    failed = {**attrs, "sllmbo:failure": HOSTILE}
    study.add_trial(create_trial(params=params, distributions=space, state=TrialState.FAIL, user_attrs=failed))
    return study


class Page(HTMLParser):
    """The elements of a page, and the text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def test_the_answer_is_the_gain_over_the_default(tuned):
    """Best value, default's value and gain fit together, and the configuration is the best trial's."""
    answer = report.collect(tuned).answer

    assert answer.default_value == 11.0
    assert answer.value == tuned.best_value
    assert answer.gain == pytest.approx(11.0 - tuned.best_value)
    assert answer.params == tuned.best_params
    assert answer.std == 0.1
    assert answer.interval is None


@pytest.mark.parametrize(
    ("gain", "than", "words"),
    [
        (0.05, 0.8, "0.05 (6.2 %)"),
        (0.9996, 1.0, "1 (100 %)"),
        (0.5, 0.5, "0.5"),
        (0.99, -0.01, "0.99"),
        (3.0, 0.0, "3"),
        (-0.02, 0.8, "0.02 (2.5 %)"),
    ],
)
def test_a_gain_is_a_share_only_of_what_is_larger(gain, than, words):
    """A percentage says nothing of a value near 0, and has no exponent."""
    assert words == share(gain, than)


def test_failures_are_told_by_class(tuned):
    """Both failed trials are in the class of their error, with its message."""
    (failure,) = report.collect(tuned).failures

    assert ("MemoryError", (7, 11)) == (failure.what, failure.trials)
    assert "no room" in failure.example


def test_a_value_that_is_no_number_is_a_failure_everywhere():
    """A trial of another's study whose value is infinite is counted as it is told of: failed."""
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) / (trial.number % 3 > 0 or float("nan")), n_trials=3)
    study.optimize(lambda trial: float("inf") if trial.number < 5 else 1.0, n_trials=3)

    facts = report.collect(study)

    assert {"complete": 3, "failed": 3} == {state: n for state, n in facts.states.items() if n}
    assert 3 == sum(len(one.trials) for one in facts.failures)


@pytest.mark.parametrize(("failure", "ended"), [(True, "failed"), (False, "infeasible")])
def test_a_default_without_a_value_is_not_said_to_be_missing(failure, ended):
    """The note names its trial, and whether it failed or broke a constraint."""
    tuner = Tuner(SearchSpace({"x": Float(0, 1, default=0.5)}), constraints=["heat<=0.4"], llm="offline", seed=0)
    for number in range(4):
        trial = tuner.ask()
        if number == 0 and failure:
            tuner.tell(trial, failure=MemoryError("no room"))
        else:
            tuner.tell(trial, trial.params["x"], details={"heat": 0.5 if number == 0 else 0.1})

    facts = report.collect(tuner.study)

    assert facts.answer.gain is None
    assert f"The default configuration has no value to compare with (trial 0: {ended})" in " ".join(facts.notes)
    assert "No trial is marked" not in " ".join(facts.notes)
    broke = "" if failure else " or broke a constraint"
    assert f"1 trial failed{broke}, in 1 way." in report.to_html(tuner.study, facts)
    assert "| parameter | use |\n" in report.to_markdown(facts)


def test_json_has_null_for_numbers_that_are_not_finite():
    """Details that came back as NaN or infinity leave a report that any reader of JSON takes."""
    study = optuna.create_study()
    attrs = {"sllmbo:details": {"std": float("nan"), "heat": float("inf")}}
    study.add_trial(create_trial(value=1.0, user_attrs=attrs))

    record = json.loads(json.dumps(report.collect(study).to_json(), allow_nan=False))

    assert {"heat": None} == record["answer"]["measures"]
    assert record["answer"]["std"] is None


def test_advice_that_was_paid_for_in_vain_is_judged_too():
    """Where no answer was usable, no trial is the advisor's; that it was not worth it is told all the same."""
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert "worth it?" not in report.to_markdown(report.collect(study))
    with StudyMeter(study, None, "next", 1).call(Usage(), "a model") as call:
        call.usage = Usage(1, 50, 5)

    facts = report.collect(study)

    assert "Was the advice worth it? The advisor did not pay: no trial" in report.to_markdown(facts)
    assert "Was the advice worth it? The advisor did not pay: no trial" in report.to_html(study, facts)


def test_what_turned_down_answers_have_cost_is_the_advisors():
    """Neither the partner that served instead pays for an answer, nor is one lost whose trial was interrupted."""
    one = {"calls": 1, "input_tokens": 5, "output_tokens": 5}
    study = optuna.create_study()
    space = {"x": FloatDistribution(0, 1)}
    for place, source in enumerate(("default", "tpe", "llm", "tpe")):
        attrs = {"sllmbo:source": source, "sllmbo:usage": one}
        study.add_trial(create_trial(params={"x": 0.1 * place}, distributions=space, value=1.0, user_attrs=attrs))
    cut = create_trial(state=TrialState.FAIL, user_attrs=attrs, system_attrs={"sllmbo:turn": {"worker": {}}})
    assert is_abandoned(cut)
    study.add_trial(cut)

    sources = study_worth(study).sources

    assert {"default": 0, "tpe": 0, "llm": 5} == {name: source.usage.calls for name, source in sources.items()}


def test_a_turn_before_its_answer_is_there_is_no_failure():
    """Advice that was late or not asked for is told apart from what was of no use."""
    study = optuna.create_study()
    for kind in ("Late", "Paused", "BudgetExceeded", "ReplyError"):
        study.add_trial(create_trial(value=1.0, user_attrs={"sllmbo:fallback": {"kind": kind, "reason": "so"}}))

    told = advice(report.collect(study))

    assert "Of the advice: 1 not usable, so" in told
    assert "; 3 not asked for or not there in time" in told


@pytest.mark.parametrize(
    ("points", "repeats", "words"),
    [
        ((5, 6), (), "has value 0.9: the default configuration, which no trial has bettered."),
        ((6, 5), (), "has value 0.9, in trial 0, the same as the default's."),
        ((5, 4), (0.8, 0.85, 0.9, 0.95), "the default configuration, the best by all of its values."),
    ],
)
def test_the_headline_names_the_configuration_that_was_chosen(points, repeats, words):
    """As good as the default is not the default; and what one lucky value bettered stays the best."""
    study = optuna.create_study(direction="maximize")
    space = {"x": IntDistribution(0, 10)}

    def add(x, value, source):
        attrs = {"sllmbo:source": source}
        study.add_trial(create_trial(params={"x": x}, distributions=space, value=value, user_attrs=attrs))

    for x in points:
        add(x, 0.91 if x == 4 else 0.9, "default" if x == 5 else "tpe")
    for value in repeats:
        add(5, value + 0.1, "repeat")
        add(4, value - 0.6, "repeat")

    assert words in headline(report.collect(study))


def test_a_reason_is_held_against_what_was_known_when_it_was_asked_for():
    """The same words in an opening and later are about the trials of their own time."""
    words = "Smaller values of x have been better so far."
    space = SearchSpace({"x": Float(0, 1, default=0.5)})
    draw = random.Random(0).random

    def reply(request):
        return [Advice(params={"x": draw()}, rationale=words, source="llm") for _ in range(request.n)]

    options = {"space": space, "seed": 0, "judging": False, "mixing": Alternating()}
    sampler = LLMTPESampler(ScriptedAdvisor(reply), **options)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=24)

    first, *_, last = (reason.checks[0] for reason in report.collect(study).reasons)

    assert "1 complete trials before it" in first.test
    assert "supported" == last.verdict


def test_reasons_are_those_of_the_advisor_and_are_checked(tuned):
    """Each trial that the rules served has its reason; what they say of the best trial is supported."""
    reasons = report.collect(tuned).reasons

    assert {"rules"} == {one.source for one in reasons}
    checks = [check for one in reasons for check in one.checks if check.kind == "standing"]
    assert checks
    assert {"supported"} == {check.verdict for check in checks}


def test_the_facts_are_one_json_object(tuned):
    """They can be written as strict JSON and read back, with what the other formats show."""
    record = json.loads(json.dumps(report.collect(tuned).to_json(), allow_nan=False))

    assert record["answer"]["gain"] > 0
    assert record["states"] == {"complete": 28, "infeasible": 0, "pruned": 0, "failed": 2, "running": 0}
    assert record["worth"]["sources"].keys() == {"default", "rules", "tpe"}


def test_markdown_has_the_same_answer(tuned):
    """The headline, the configuration and the verdict on the advice are in the Markdown."""
    facts = report.collect(tuned)
    text = report.to_markdown(facts)

    assert f"better than the default's 11 by {facts.answer.gain:.3g}" in text
    assert "| `x` |" in text
    assert "Was the advice worth it?" in text


def test_the_page_is_one_file_without_addresses(tuned):
    """It refers to nothing outside of itself, and is under 6 MB."""
    text = report.to_html(tuned, report.collect(tuned))
    page = Page(text)

    assert len(text.encode()) < 6_000_000
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "default-src 'none'" in next(a["content"] for t, a in page.tags if a.get("http-equiv"))


def test_headings_are_in_order_and_tables_have_heads(tuned):
    """One first heading, no level is skipped, each table has a caption and heads with a scope, each plot has words."""
    page = Page(report.to_html(tuned, report.collect(tuned)))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    tags = [tag for tag, _ in page.tags]

    assert levels[0] == 1
    assert 1 == levels.count(1)
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert tags.count("table") == tags.count("caption") > 1
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.tags if tag == "th")
    plots = [attrs for _, attrs in page.tags if "data-figure" in attrs]
    assert len(plots) > 4
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in plots)
    assert {"header", "nav", "main", "footer"} <= set(tags)


def test_text_of_a_study_stays_text_in_the_page():
    """Names, rationales, sources and messages bring no element, no script and no link into the page."""
    study = hostile_study()
    page = Page(report.to_html(study, report.collect(study)))

    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [value for _, attrs in page.tags for name, value in attrs.items() if name.startswith("on")]
    assert all(not attrs["href"].startswith("http") for _, attrs in page.tags if "href" in attrs)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert 2 == sum("type" not in attrs for attrs in scripts)
    assert "alert(1)" in "".join(page.words)
    assert "\u202e" not in "".join(page.words)


def test_text_of_a_study_stays_text_in_the_plots():
    """No plot has markup from outside: plotly would make links of it."""
    study = hostile_study()

    for plot in PLOTS:
        assert not re.search(r"<(?!/?(?:br|b|i|extra)>)", json.dumps(json.loads(plot(study).to_json())))


def test_text_of_a_study_stays_text_in_markdown():
    """No line begins and no link, element or table cell ends by text from outside."""
    study = hostile_study()
    text = report.to_markdown(report.collect(study))
    code = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
    plain = code.sub("", re.sub(r"\\.", "", text))

    assert "alert" in text
    assert not re.search(r"(?<!\\)[<>\[]", plain)
    assert "://" not in plain
    assert not re.search(r"^\s*alert", text, re.MULTILINE)


def test_a_json_report_of_hostile_text_is_json():
    """Whatever the study says, the facts are JSON."""
    assert HOSTILE == json.loads(json.dumps(report.collect(hostile_study()).to_json()))["study"]


def objective_of(kind):
    def several(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("room", x - 0.8)
        return x, (1 - x) ** 2

    def broken(trial):
        trial.suggest_float("x", 0, 1)
        raise optuna.TrialPruned

    return {"several": several, "pruned": broken, "one": lambda t: t.suggest_float("x", 0, 1)}[kind]


def a_study(kind):
    directions = ["minimize", "minimize"] if kind == "several" else ["minimize"]
    study = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler(seed=0))
    if kind != "empty":
        study.optimize(objective_of(kind), n_trials={"several": 25, "pruned": 3, "one": 1}[kind])
    return study


@pytest.mark.parametrize("kind", ["empty", "pruned", "one", "several"])
def test_any_study_has_a_report(kind):
    """Also one without trials, without complete ones, with one, with several objectives; it says what is missing."""
    study = a_study(kind)
    facts = report.collect(study)

    assert facts.notes
    assert report.to_markdown(facts).count("## The answer") == 1
    assert "</html>" in report.to_html(study, facts)
    assert all(plot(study).layout.height for plot in PLOTS)
    assert (facts.answer is None) == (kind not in ("one", "several"))


def test_infeasible_trials_are_marked_and_not_on_the_front():
    """Of several objectives, trials that break a constraint are told apart from dominated ones and from the front."""
    study = a_study("several")
    facts = report.collect(study)
    names = [trace.name for trace in report.plot_pareto(study).data]

    assert facts.states["infeasible"] > 0
    assert {"infeasible", "Pareto front"} <= set(names)
    assert all(leader.params["x"] <= 0.8 for leader in facts.leaders)


def test_the_line_of_the_history_is_the_best_so_far(tuned):
    """It never rises, ends at the best value, and sources differ in shape as well as in colour."""
    line, *points = report.plot_history(tuned).data
    served = [trace for trace in points if trace.name in ("default", "rules", "tpe")]

    assert list(line.y) == sorted(line.y, reverse=True)
    assert line.y[-1] == pytest.approx(tuned.best_value, rel=1e-5)
    assert len({trace.marker.symbol for trace in served}) == len({trace.marker.color for trace in served}) == 3


def test_trials_that_collapse_do_not_hide_the_others():
    """Where a fifth of the values is far worse than the rest, the first view is of the rest."""
    study = optuna.create_study(direction="maximize")
    for i in range(24):
        study.add_trial(create_trial(value=0.5 if i % 5 == 4 or i == 0 else 0.97 + i / 2000))

    low, high = report.plot_history(study).layout.yaxis.range

    assert 0.95 < low < 0.97 < high < 1


def test_edits_are_drawn_with_the_range_in_force():
    """The band changes at the trial of the edit."""
    study = optuna.create_study()
    edit = {"parameter": "x", "low": 0.0, "high": 2.0, "old_low": 0.0, "old_high": 1.0, "reason": "r", "source": "llm"}
    for i in range(4):
        attrs = {"sllmbo:edits": [edit]} if i == 2 else {}
        space = {"x": FloatDistribution(0, 2)}
        study.add_trial(create_trial(params={"x": 0.1 * i}, distributions=space, value=1.0 * i, user_attrs=attrs))
    _, high, _ = report.plot_edits(study).data

    assert [0, 2, 3] == list(high.x)
    assert [1.0, 2.0, 2.0] == list(high.y)
    assert (2, "x", (0.0, 2.0)) == (lambda e: (e.trial, e.parameter, e.new))(report.collect(study).edits[0])


def test_no_colour_of_the_dark_page_is_one_of_the_light_page():
    """The page swaps colours one after the other, so none may be swapped twice."""
    assert not set(DARK) & set(DARK.values())


def test_names_that_are_cut_alike_keep_their_own_places():
    """Two categories, parameters or errors with the same beginning and end are two ticks; both labels are short."""
    names = [f"sklearn.preprocessing.{middle}.StandardScaler_of_the_numbers" for middle in ("one", "two")]
    study = optuna.create_study()
    kinds = CategoricalDistribution(names)
    space = {name: FloatDistribution(0, 1) for name in names} | {"kind": kinds}
    for i in range(24):
        params = {names[0]: i / 24, names[1]: (7 * i % 24) / 24, "kind": names[i % 2]}
        study.add_trial(create_trial(params=params, distributions=space, value=1.0 * i))
    for name in names:
        attrs = {"sllmbo:failure": f"{name}: boom"}
        study.add_trial(create_trial(params=params, distributions=space, state=TrialState.FAIL, user_attrs=attrs))

    slices, bars = report.plot_slices(study, ["kind"]), report.plot_importances(study)
    failures = report.plot_failures(study)

    assert {0, 1} == set(slices.data[0].x)
    assert (0, 1) == slices.layout.xaxis.tickvals
    assert all(max(map(len, text.split("<br>"))) == 10 for text in slices.layout.xaxis.ticktext)
    assert {0, 1, 2} == set(bars.data[0].y)
    assert (0, 1) == failures.data[0].y


def test_no_picture_of_spending_where_no_trial_has_cost_a_question():
    """Where only the space's design was asked for, the page tells its price and draws nothing."""
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with StudyMeter(study, None, "design", None).call(Usage(), "a model") as call:
        call.usage = Usage(1, 50, 5)

    page = report.to_html(study, report.collect(study))

    assert "1 request to chat models" in page
    assert "figure-spending" not in page
    assert "No chat model was asked" not in page


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(study_name="mine", storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return url


def test_the_command_writes_a_page_beside_and_says_where(stored, tmp_path, capsys):
    """Without --out a study of a storage goes to NAME-report.html here."""
    assert 0 == run(["report", "mine", "--storage", stored])
    assert (tmp_path / "mine-report.html").stat().st_size > 1_000_000
    assert "mine-report.html" in capsys.readouterr().err


def test_the_format_follows_from_the_name_of_the_file(stored, tmp_path):
    """--out x.md is Markdown, --out x.json is JSON; --format has the last word."""
    for name, form in (("a.md", []), ("a.json", []), ("b.txt", ["--format", "json"])):
        assert 0 == run(["report", "--storage", stored, "--out", name, *form])

    assert (tmp_path / "a.md").read_text().startswith("# Report of mine")
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.txt").read_text())


def test_markdown_and_json_go_to_standard_output(stored, capsys):
    """Without --out they are printed, and nothing else is."""
    assert 0 == run(["report", "mine", "--storage", stored, "--format", "json"])
    assert "mine" == json.loads(capsys.readouterr().out)["study"]


def test_the_folder_of_a_tuning_is_enough(tmp_path, monkeypatch):
    """Its study, its held-out scores and its estimator are found, and the page lies in it."""
    from sklearn.datasets import load_diabetes

    import sllmbo

    monkeypatch.chdir(tmp_path)
    X, y = load_diabetes(return_X_y=True)
    folder = tmp_path / "sllmbo-out" / "ridge"
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'study.db'}"
    result = sllmbo.tune("ridge", X[:80], y[:80], n_trials=4, cv=2, storage=url, study_name="r", llm="offline")
    result.save(folder)

    assert 0 == run(["report", "ridge", "--format", "json", "--out", "r.json"])
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["answer"]["heldout_value"] == result.heldout_best
    assert facts["answer"]["value"] == result.best_value
    assert facts["estimator_file"].endswith("estimator.joblib")
    assert 0 == run(["report", "ridge"])
    assert (folder / "report.html").exists()


def tune_tree(storage, n_trials, **options):
    from sklearn.datasets import load_iris

    import sllmbo

    X, y = load_iris(return_X_y=True)
    tree = "sklearn.tree.DecisionTreeClassifier"
    given = {"metric": "accuracy", "cv": 2, "llm": "offline", "seed": 3, "storage": storage, "study_name": "m"}
    return sllmbo.tune(tree, X, y, n_trials=n_trials, **given, **options)


def test_an_estimator_of_an_older_result_is_not_offered(tmp_path):
    """After the study has gone on, its file is not the configuration that is recommended: the parameters are told."""
    storage = optuna.storages.InMemoryStorage()
    tune_tree(storage, 2).save(tmp_path)
    study = optuna.load_study(study_name="m", storage=storage)
    assert report.collect(study, tmp_path).estimator_file
    tune_tree(storage, 4)

    facts = report.collect(study, tmp_path)

    assert "" == facts.estimator_file
    assert facts.answer.heldout_value is None
    assert "its held-out scores and its fitted estimator are left out" in " ".join(facts.notes)
    assert "params = {" in report.to_markdown(facts)


def test_an_ensemble_is_told_apart_from_the_best_configuration(tmp_path):
    """Its size, its values and what is loaded stand in the facts, in Markdown and on the page."""
    storage = optuna.storages.InMemoryStorage()
    result = tune_tree(storage, 6, ensemble=5)
    result.save(tmp_path)
    study = optuna.load_study(study_name="m", storage=storage)
    n = len(result.ensemble)

    facts = report.collect(study, tmp_path)

    found = facts.answer.ensemble, facts.answer.ensemble_value, facts.answer.heldout_ensemble
    assert (n, result.ensemble_value, result.heldout_ensemble) == found
    for told in (report.to_markdown(facts), report.to_html(study, facts)):
        assert f"is an ensemble of {n} configuration" in told
        assert f"# The ensemble of {n}, a pickle" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "There is no folder 'nowhere'"),
        ([], "No study is named"),
        (["x", "--storage", "sqlite:///none.db"], "There is no file 'none.db'"),
        (["other", "--storage", "STORED"], "There is no study 'other'"),
        (["mine", "--storage", "STORED", "--out", "no/such/folder.html"], "cannot be written"),
        (["mine", "--storage", "STORED", "--out", "d.csv"], "'d.csv' ends with no format of a report"),
        (["mine", "--storage", "nonsense"], "no storage URL"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(arguments, words, stored, capsys):
    """With exit code 2, and no file is made."""
    assert 2 == run(["report", *(stored if part == "STORED" else part for part in arguments)])
    told = capsys.readouterr().err
    assert words in told
    assert 1 == len(told.strip().splitlines())


def test_without_plotly_the_extra_is_named(stored, monkeypatch, capsys):
    """A page needs the extra; Markdown does not."""
    import sys

    monkeypatch.setitem(sys.modules, "plotly.offline", None)

    assert 2 == run(["report", "mine", "--storage", stored])
    assert 'pip install "sllmbo[report]"' in capsys.readouterr().err
    assert 0 == run(["report", "mine", "--storage", stored, "--format", "md"])


def test_what_constraints_and_objectives_are_about_is_told_of_the_best():
    """A report names the compromise of a study with two objectives, and what was measured of it beside its bound."""
    space = SearchSpace({"x": Float(0.0, 10.0, default=5.0)})
    tuner = Tuner(space, constraints=["heat<=9"], objectives={"cost": "minimize"}, llm="offline", seed=0)
    for _ in range(8):
        trial = tuner.ask()
        x = trial.params["x"]
        tuner.tell(trial, x, details={"cost": x**2, "heat": x})
    best = study_history(tuner.study).best

    facts = report.collect(tuner.study)

    assert facts.answer.trial == best.number
    assert {"cost": best.params["x"] ** 2, "heat": best.params["x"]} == facts.answer.measures
    told = report.to_markdown(facts)
    assert f"the best compromise is trial {best.number}" in told
    assert "has to keep heat" in told


def test_an_unexpected_error_of_a_command_is_one_sentence(stored, monkeypatch, capsys):
    """A bug ends with code 1 and without a traceback, unless --debug stands before the command."""
    monkeypatch.setattr("sllmbo.report.collect", lambda *_: 1 / 0)

    assert 1 == run(["report", "--storage", stored, "--format", "md"])
    assert "Unexpected ZeroDivisionError: division by zero; run `sllmbo --debug ...` for the traceback.\n" == (
        capsys.readouterr().err
    )
    with pytest.raises(ZeroDivisionError):
        run(["--debug", "report", "--storage", stored, "--format", "md"])
