"""Lineages as Mermaid, Graphviz and networkx."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import traceprop as tp
from traceprop.errors import MissingExtraError


@pytest.fixture
def graph():
    X = tp.array(np.arange(12.0).reshape(4, 3), name='bad"]name\\.csv')
    centred = X - X.mean(axis=0)
    return centred[centred[:, 0] > 0].ancestors()


def test_networkx_has_every_operation_and_every_input(graph):
    drawn = graph.networkx()
    assert drawn.number_of_nodes() == len(graph)
    assert drawn.number_of_edges() == sum(len(node.inputs) for node in graph)
    assert [data["source"] for _, data in drawn.nodes(data=True) if data["source"]] == [
        'bad"]name\\.csv'
    ]
    operations = {data["operation"] for _, data in drawn.nodes(data=True)}
    assert {"mean", "subtract", "greater"} <= operations


def test_without_networkx_the_extra_is_named(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(MissingExtraError, match=r"\[graph\]"):
        graph.networkx()


def test_mermaid_draws_each_node_once_and_escapes_names(graph):
    lines = graph.mermaid().splitlines()
    assert lines[0] == "flowchart TD"
    nodes = [line for line in lines[1:] if "-->" not in line]
    assert len(nodes) == len(graph)
    for line in nodes:
        assert re.fullmatch(
            r'    n\d+(\["|\(\[")[^"\[\]<>]*?("\]|"\]\))', line.replace("]name", "")
        )
    assert sum("-->" in line for line in lines) == sum(len(node.inputs) for node in graph)


def test_graphviz_quotes_names(graph):
    text = graph.graphviz()
    assert 'label="bad\\"]name\\\\.csv 4×3" shape=ellipse' in text
    assert text.count(" -> ") == sum(len(node.inputs) for node in graph)
    assert text.endswith("}\n")


def test_drawing_is_the_same_every_time(graph):
    assert graph.mermaid() == graph.mermaid()
