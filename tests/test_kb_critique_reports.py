"""SARIF, rdjson and HTML of a critique: sound for whoever reads them, whatever strangers wrote."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from critique_world import BASE, FAST, FIXED, PATH, REPO, make_history, make_store, patch_of, thread

from kb.critique.opening import from_file
from kb.critique.run import review_patch
from kb.families import load_families
from kb.reports.critique_html import critique_html
from kb.reports.critique_machine import critique_rdjson, critique_sarif
from kb.store import Store

FAMILIES = load_families()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    history = make_history(folder / "history")
    store = Store.open(
        make_store(folder, history.path, [thread(2, "Please test <b>lock_ref</b> & co", key=11)])
    )
    path = folder / "a.patch"
    path.write_bytes(
        patch_of(history, FIXED, BASE) + patch_of(history, FIXED, FAST, "python/engine/we ird<x>.py")
    )
    return review_patch(store, from_file(path, store, FAMILIES, REPO), FAMILIES)


def test_sarif_has_what_code_scanning_wants(found):
    log = json.loads(critique_sarif(found))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    rules = [r["id"] for r in run["tool"]["driver"]["rules"]]
    assert rules == sorted(set(rules))
    assert len(run["results"]) == len(found.findings) > 0
    for result, finding in zip(run["results"], found.findings, strict=True):
        assert rules[result["ruleIndex"]] == result["ruleId"] == finding.rule
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert unquote(place["artifactLocation"]["uri"]) == finding.place.path
        assert not place["artifactLocation"]["uri"].startswith(("/", "file:"))
        assert 1 <= place["region"]["startLine"] <= place["region"]["endLine"]
        assert result["partialFingerprints"] == {"prloreFinding/v1": finding.fingerprint}
        assert [x["id"] for x in result["relatedLocations"]] == list(range(1, finding.precedents + 1))
        for related in result["relatedLocations"]:
            assert related["physicalLocation"]["artifactLocation"]["uri"].startswith(
                f"https://github.com/{REPO}/pull/"
            )


def test_rdjson_has_what_reviewdog_wants(found):
    said = json.loads(critique_rdjson(found))
    assert said["source"]["name"] == "prlore"
    first = said["diagnostics"][0]
    assert first["location"]["path"] == PATH
    assert first["severity"] == "ERROR"
    assert first["location"]["range"]["start"]["line"] >= 1
    assert first["code"]["url"].startswith("https://github.com/")


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_fetches_and_runs_nothing(found):
    page = critique_html(found)
    reader = _Tags()
    reader.feed(page)
    assert not {"script", "img", "iframe", "link", "object", "form", "b2", "x"} & set(reader.tags)
    assert all(v.startswith("https://github.com/") for k, v in reader.attributes if k in ("href", "src"))
    assert not any(k.startswith("on") for k, _ in reader.attributes)
    assert "default-src 'none'" in page
    assert re.search(r"<pre>flowchart TD", page) or not found.charts
