"""
What a benchmark concludes, against values worked out by hand and by SciPy.
"""

import numpy as np
import pytest
from scipy import stats

from sllmbo.benchmarks import statistics
from sllmbo.benchmarks.folder import Scale, scores
from sllmbo.benchmarks.results import NOTHING_YET, arm_of, tabulate
from sllmbo.benchmarks.summary import find_arm, summarise, to_markdown, to_text
from sllmbo.errors import ConfigError


def rows(arm, problem, seed, regrets, **others):
    method, _, advisor = arm.partition("@")
    return [
        {
            "suite": "s",
            "problem": problem,
            "method": method,
            "advisor": advisor,
            "seed": seed,
            "trial": trial,
            "regret": regret,
            "chosen_regret": regret,
            "failed": 0,
            "tokens": 10,
            "seconds": 0.5,
            **others,
        }
        for trial, regret in enumerate(regrets)
    ]


def four_studies(first=0.5, second=0.25):
    return tabulate(
        [
            *rows("a", "p", 0, [1.0, first]),
            *rows("a", "q", 0, [1.0, first]),
            *rows("b@rules", "p", 0, [0.5, second]),
            *rows("b@rules", "q", 0, [0.5, second]),
        ]
    )


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_the_published_table(k, q):
    """Nemenyi's constants at 5 % are those that Demsar (2006) prints."""
    assert q * np.sqrt(k * (k + 1) / (6 * 20)) == pytest.approx(statistics.critical_difference(k, 20), abs=1e-3)


def test_ranks_are_means_over_problems_and_ties_share_them():
    """Of three arms on two problems, the tied ones share the ranks 1 and 2."""
    assert [1.25, 1.75, 3.0] == statistics.mean_ranks(np.array([[0.1, 0.2], [0.1, 0.3], [0.5, 0.9]])).tolist()


def test_wilcoxon_is_exact_for_few_pairs_and_one_without_differences():
    """Five pairs of one sign have p = 2 / 2**5; no difference at all has p = 1."""
    assert pytest.approx(0.0625) == statistics.wilcoxon(np.array([-1.0, -2.0, -3.0, -4.0, -5.0]))
    assert 1.0 == statistics.wilcoxon(np.zeros((3, 4)))


def test_friedman_is_that_of_scipy_and_needs_three_of_each():
    """Three arms on four problems give SciPy's p; two arms give none."""
    regrets = np.array([[0.1, 0.2, 0.1, 0.3], [0.2, 0.3, 0.4, 0.5], [0.9, 0.1, 0.8, 0.7]])
    assert stats.friedmanchisquare(*regrets).pvalue == pytest.approx(statistics.friedman(regrets))
    assert None is statistics.friedman(regrets[:2])


def test_wins_ties_and_losses_keep_to_the_tolerance():
    """A difference of exactly the tolerance is a tie."""
    assert (1, 3, 1) == statistics.win_tie_loss(np.array([-0.02, -0.01, 0.0, 0.01, 0.02]), 0.01)


@pytest.mark.parametrize("weights", [statistics.stratified_weights, statistics.hierarchical_weights])
def test_each_resample_has_as_many_studies_as_there_are(weights):
    """The weights of a resample add up to one, and are whole numbers of studies."""
    drawn = weights(3, 4, resamples=50)
    assert (50, 12) == drawn.shape
    assert pytest.approx(np.ones(50)) == drawn.sum(axis=1)
    assert pytest.approx(np.round(12 * drawn)) == 12 * drawn


def test_a_stratified_resample_keeps_every_problem():
    """Each problem has the same weight in every resample; in a hierarchical one it has not."""
    stratified = statistics.stratified_weights(3, 4, resamples=50).reshape(50, 3, 4).sum(axis=2)
    hierarchical = statistics.hierarchical_weights(3, 4, resamples=50).reshape(50, 3, 4).sum(axis=2)
    assert pytest.approx(np.full((50, 3), 1 / 3)) == stratified
    assert np.ptp(hierarchical) > 0


def test_problems_that_differ_widen_the_hierarchical_interval_alone():
    """Two problems with differences -1 and +1 and no noise: 0 for sure on these two, anything on others."""
    differences = np.array([[-1.0, -1.0], [1.0, 1.0]])
    assert (0.0, 0.0) == statistics.interval(statistics.stratified_weights(2, 2), differences)
    assert (-1.0, 1.0) == statistics.interval(statistics.hierarchical_weights(2, 2), differences)


def test_the_interval_of_one_problem_is_scipys_percentile_bootstrap():
    """With one problem, both kinds are the usual bootstrap of a mean."""
    differences = np.random.default_rng(0).normal(size=(1, 20))
    theirs = stats.bootstrap(differences, np.mean, method="percentile", rng=1, n_resamples=10_000).confidence_interval
    for weights in (statistics.stratified_weights, statistics.hierarchical_weights):
        assert pytest.approx(tuple(theirs), abs=0.03) == statistics.interval(weights(1, 20), differences)


def test_regrets_of_a_study_by_hand():
    """Best evaluated and best-valued part where values are noisy, and are None before the first success."""
    scale = Scale("truth", best=1.0, median=0.5, minimize=False)
    trials = [(None, None), (0.7, 0.75), (0.9, 0.6), (0.8, 0.9)]
    made = scores([{"value": value, "truth": truth} for value, truth in trials], scale, scale)
    assert [None, 0.5, 0.5, pytest.approx(0.2)] == [regrets["regret"] for regrets in made]
    assert [None, 0.5, pytest.approx(0.8), pytest.approx(0.8)] == [regrets["chosen_regret"] for regrets in made]


def test_exact_values_make_the_regret_and_held_out_ones_that_of_the_chosen():
    """Where values are not noisy and the truth is held out, the search is scored by values, the choice by truth."""
    known = {"direction": "minimize", "best": None, "median": None, "noisy": False}
    trials = [{"value": v, "truth": t} for v, t in ((3.0, 30.0), (None, None), (2.0, 50.0), (1.0, 40.0))]
    records = [{"known": known, "trials": trials}]
    of_best, of_chosen = Scale.of_best(records), Scale.of_chosen(records)
    assert (Scale("value", 1.0, 2.0, True), Scale("truth", 30.0, 40.0, True)) == (of_best, of_chosen)
    made = scores(trials, of_best, of_chosen)
    assert [2.0, 2.0, 1.0, 0.0] == [regrets["regret"] for regrets in made]
    assert [0.0, 0.0, 2.0, 1.0] == [regrets["chosen_regret"] for regrets in made]
    assert "truth" == Scale.of_best([{"known": {**known, "noisy": True}, "trials": trials}]).column


def test_only_studies_that_all_arms_have_are_compared():
    """A seed that one arm lacks is left out for all."""
    results = tabulate([*rows("a", "p", 0, [1.0]), *rows("a", "p", 1, [9.0]), *rows("b@rules", "p", 0, [0.5])])
    assert ((0,), ("a", "b [rules]")) == (results.seeds, results.arms)
    assert [1.0, 0.5] == results.regrets["regret"].ravel().tolist()


def test_arms_without_a_common_study_are_refused():
    """Nothing paired, nothing concluded."""
    with pytest.raises(ConfigError, match="The problems have no seed in common"):
        tabulate([*rows("a", "p", 0, [1.0]), *rows("a", "q", 1, [1.0])])
    with pytest.raises(ConfigError, match="no problem and seed in common"):
        tabulate([*rows("a", "p", 0, [1.0]), *rows("b", "p", 1, [1.0])])


def test_a_study_without_success_counts_as_the_median():
    """An empty regret becomes 1."""
    assert NOTHING_YET == tabulate(rows("a", "p", 0, [""])).regrets["regret"].item()


def test_the_summary_of_four_studies_by_hand():
    """Means, difference, ratio, ranks and wins of two arms on two problems."""
    summary = summarise(four_studies(), baseline="a")
    last = summary.measures["regret"].comparisons[-1]
    assert ((1, 2), {"a": (1.0, 0.5), "b [rules]": (0.5, 0.25)}) == (
        summary.checkpoints,
        summary.measures["regret"].mean,
    )
    assert (-0.25, 0.5, (2, 0, 0), (2, 0, 0)) == (last.difference, last.ratio, last.pairs, last.problems)
    assert (None, None) == (last.interval, last.interval_over_problems)  # one seed has no spread
    assert {"a": 2.0, "b [rules]": 1.0} == summary.measures["regret"].ranks
    assert {"a": 20.0, "b [rules]": 20.0} == summary.tokens


def test_the_tables_have_every_arm_and_comparison():
    """Both forms show the means, and the difference to the baseline."""
    summary = summarise(four_studies(), baseline="a")
    for shown in (to_text(summary), to_markdown(summary)):
        assert "b [rules]" in shown
        assert "-0.250" in shown


def test_the_tables_fit_a_narrow_terminal():
    """Columns go until a table fits, which ones is told, and the difference stays."""
    summary = summarise(four_studies(), baseline="a")
    wide = to_text(summary)
    narrow = to_text(summary, width=60)
    assert wide == to_text(summary, width=1000)
    assert 60 < max(map(len, wide.splitlines()))
    assert 60 >= max(map(len, narrow.splitlines()))
    assert "narrow" not in wide
    assert "hierarchical" in " ".join(narrow.split("Left out")[1].split())
    assert "-0.250" in narrow


def test_a_baseline_is_found_with_or_without_its_advisor():
    """A name that fits none or several is refused."""
    arms = ["tpe", "llm-tpe [rules]", "llm [rules]", "llm [openai:x]"]
    assert "llm-tpe [rules]" == find_arm("llm-tpe", arms) == find_arm("llm-tpe [rules]", arms)
    with pytest.raises(ConfigError, match=r"'gp' must be one of the methods that are run: tpe, llm-tpe \[rules\]"):
        find_arm("gp", arms)
    with pytest.raises(ConfigError, match="names several arms"):
        find_arm("llm", arms)


def test_a_negative_tolerance_is_refused():
    """The tolerance is a distance."""
    with pytest.raises(ConfigError, match="tolerance=-1"):
        summarise(four_studies(), baseline="a", tolerance=-1)


def test_an_arm_is_called_by_its_file_not_its_folder():
    """Paths are cut to the name of the file; other colons stay."""
    assert "llm [openings:o.json]" == arm_of("llm", "openings:/a/b/o.json")
    assert "llm [paper:t.csv:gpt-4o]" == arm_of("llm", "paper:/a/t.csv:gpt-4o")
    assert "llm [openrouter:x/y]" == arm_of("llm", "openrouter:x/y")
