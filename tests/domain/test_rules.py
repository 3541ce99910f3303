"""A list of rules asks every rule, in order, and counts what failed."""

from typing import Any

import numpy as np

from domain.kernel import kernel
from domain.risk import RISK
from domain.rules import RESULT, Rule, every
from domain.strategic import STRATEGIC
from tests.domain.facts import ask, facts, terms


@kernel
def buys(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.side, 1, f.side == 1


@kernel
def few_orders(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.orders, p.orders_max, f.orders <= p.orders_max


@kernel
def flat(f: Any, p: Any) -> tuple[int, int, bool]:
    return f.held, 0, f.held == 0


def says(value: int, limit: int, passed: bool) -> str:
    return f"{value} of {limit}: {passed}"


THREE = every([Rule(buys, says), Rule(few_orders, says), Rule(flat, says)])


def asked(**changes: int) -> tuple[int, list[Any]]:
    results = np.full(5, -7, RESULT)
    failed = THREE(facts(**changes), terms(), results, 1)
    return failed, results.tolist()


def test_every_rule_is_asked_in_order_and_none_is_skipped_after_a_failure() -> None:
    untouched = (-7, -7, -7)
    assert asked() == (0, [untouched, (1, 1, 1), (0, 200, 1), (0, 0, 1), untouched])
    assert asked(side=-1) == (1, [untouched, (-1, 1, 0), (0, 200, 1), (0, 0, 1), untouched])
    assert asked(side=-1, orders=201, held=5) == (3, [untouched, (-1, 1, 0), (201, 200, 0), (5, 0, 0), untouched])


def test_a_list_of_one_rule_asks_it() -> None:
    results = np.full(2, -7, RESULT)
    assert every([Rule(buys, says)])(facts(side=-1), terms(), results, 0) == 1
    assert results.tolist() == [(-1, 1, 0), (-7, -7, -7)]


def test_a_list_answers_what_its_rules_answer_one_by_one() -> None:
    f, p = facts(trend=-1, atr=1, bar_age_ns=10**18), terms()
    results = np.zeros(len(STRATEGIC), RESULT)
    failed = every(STRATEGIC)(f, p, results, 0)
    sentences = [
        (bool(result["passed"]), rule.says(int(result["value"]), int(result["limit"]), bool(result["passed"])))
        for rule, result in zip(STRATEGIC, results, strict=True)
    ]
    assert sentences == [ask(rule, f, p) for rule in STRATEGIC]
    assert failed == sum(not passed for passed, _ in sentences) == 3


def test_a_rule_is_known_by_the_name_of_its_question_and_no_two_share_one() -> None:
    assert Rule(buys, says).name == "buys"
    names = [rule.name for rule in (*STRATEGIC, *RISK)]
    assert len(set(names)) == len(names)


def test_no_sentence_ends_in_a_full_stop_or_is_more_than_one_line() -> None:
    for rule in (*STRATEGIC, *RISK):
        _, sentence = ask(rule, facts(), terms())
        assert sentence == sentence.strip()
        assert not sentence.endswith(".")
        assert "\n" not in sentence
