"""The "why" of an event as a tree that opens and closes: the tick, what it caused, and the result."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from gateways.dashboard.formats import result
from gateways.dashboard.markup import Row, badge, icon, join, side, tag
from gateways.ledger_words import NOUNS, moment, money, span, units, words

Node = Mapping[str, Any]


def why_tree(answer: Mapping[str, Any]) -> Markup:
    """The answer of `why`."""
    chain = f"chain {answer['correlation']}" if answer["correlation"] else ""
    lost = answer["lost_before"]
    gone = f"The chain began before {lost}, the oldest event that is left." if lost else None
    beside = (tag("li", _line(row)) for row in answer["beside"])
    return join(
        tag("p", tag("strong", answer["asked"]), " ", chain, class_="muted"),
        tag("p", gone, class_="wrong") if gone else None,
        tag("ul", _node(answer["tree"]), class_="tree"),
        tag("div", tag("h3", "At the same record"), tag("ul", *beside, class_="tree")) if answer["beside"] else None,
        *_results(answer),
    )


def _node(node: Node) -> Markup:
    below = [_node(child) for child in node["children"]]
    rules = list(_rules(node)) if node["type"] == "signal_assessed" else []
    line = _line(node)
    if not below and not rules:
        return tag("li", tag("div", line, class_="leaf"), data_key=node["id"])
    parts = [tag("summary", line)]
    if rules:
        passed = sum(rule["passed"] for rule in node["rules"])
        says = f"{passed} of {len(rules)} rules passed, policy {node['policy']}"
        parts.append(tag("details", tag("summary", says), tag("ul", *rules, class_="rules"), data_key="rules"))
    if below:
        parts.append(tag("ul", *below))
    return tag("li", tag("details", *parts, open=True), data_key=node["id"])


def _line(node: Node) -> Markup:
    """One event or record: what it is, its words, its id, when, and how long after its cause."""
    after = span(node.get("after_ns") or 0)
    shown = node.get("occurred_at")
    return tag(
        "span",
        tag("span", NOUNS.get(node["type"], node["type"].replace("_", " ")) or "record", class_="noun"),
        tag("span", _said(node), class_="said"),
        tag(
            "span",
            tag("span", node["id"], class_="id"),
            tag("time", moment(shown), datetime=shown, class_="time") if shown else None,
            tag("span", f"+{after}") if after else None,
            class_="place",
        ),
        class_="node asked" if node.get("asked") else "node",
    )


def _said(node: Node) -> Markup:
    if node["type"] != "signal_assessed":
        return join(words(node).plain)
    approved = node["verdict"] == "approved"
    stop = f", risk {money(node['risk'])}" if Decimal(node["risk"]) else ", no stop"
    terms = f" {units(node['quantity'])}{stop}" if approved else ""
    verdict = badge("approved", "good", "good") if approved else badge("refused", "warning", "bad")
    return join(verdict, " ", side(node["side"]), terms)


def _rules(node: Node) -> Iterator[Markup]:
    """Every rule, those that refused first."""
    for rule in sorted(node["rules"], key=lambda rule: bool(rule["passed"])):
        drawn = icon("good" if rule["passed"] else "bad")
        name = rule["rule"].replace("_", " ")
        mark = tag("span", drawn, "passed" if rule["passed"] else "refused", class_="good" if rule["passed"] else "bad")
        yield tag("li", mark, tag("b", name), tag("span", rule["says"]), data_key=rule["rule"])


def _results(answer: Mapping[str, Any]) -> Iterator[Markup]:
    for trade in answer["trades"]:
        yield _trade(trade, answer["currency"] or "")
    if answer["working"]:
        yield tag("p", badge("working", "accent", "clock"), " ", ", ".join(answer["working"]), class_="outcome")


def _trade(trade: Row, currency: str) -> Markup:
    what = join(tag("strong", trade["symbol"]), " ", side(trade["side"]), f" {units(trade['quantity'])}")
    risk = f", risk {money(trade['risk'])}" if trade["risk"] else ""
    if trade["result"] is None:
        return tag("p", badge("open", "accent", "clock"), " ", what, f", no result yet{risk}", class_="outcome")
    in_r = f", {Decimal(trade['r']):+.2f} R" if trade["r"] else ""
    held = f", held {span(trade['held_ns']) or '0 s'}, closed by {trade['closed']}"
    made = join(" ", result(trade["result"]), f" {currency}{in_r}{held}{risk}")
    return tag("p", badge("closed", "quiet", "good"), " ", what, made, class_="outcome")
