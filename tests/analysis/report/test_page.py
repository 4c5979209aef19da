"""The HTML page is whole, needs nothing else, and lets no name act as markup."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

import analysis
from analysis.network.build import dense_network
from analysis.report.page import to_html
from analysis.report.report import Report

_EMPTY = {"meta", "br", "hr", "img", "input", "link"}


class Balance(HTMLParser):
    """Every tag that opens closes, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: str) -> Balance:
    page = Balance()
    page.feed(html)
    page.close()
    assert not page.open
    return page


@pytest.fixture(scope="module")
def report() -> Report:
    model = dense_network([8, 20, 5], "relu")
    return analysis.analyze(model).with_measurement(analysis.measure(model, 30, progress=False))


def test_the_page_is_whole(report: Report) -> None:
    page = read(report.html())
    assert all(link.startswith("#") for link in page.links)  # inside the figure
    text = " ".join(page.texts)
    assert report.rows[0].forward is not None
    assert f"{report.rows[0].forward.prediction.corrected:.4g}" in text
    assert "30 independent networks" in text
    assert "svg" in report.html()


def test_derivations_are_printed(report: Report) -> None:
    derivation = analysis.derive("glorot")
    text = " ".join(read(to_html([report], [derivation])).texts)
    for step in derivation.steps:
        assert step.grade.value in text
    assert "E[" in text


def test_names_are_text(report: Report) -> None:
    evil = "<script>alert(1)</script>"
    rows = (replace(report.rows[0], name=evil), *report.rows[1:])
    html = replace(report, rows=rows, title=evil, measurement=None).html()
    read(html)
    assert "<script" not in html


def test_several_reports_and_no_derivation(report: Report) -> None:
    text = " ".join(read(to_html([report, report], [])).texts)
    assert text.count("30 independent networks") == 2
    assert "Derivations" not in text
