"""What is compiled: a traced step as a graph with its inputs, states, updates and outputs named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinygrad_edu.graph.node import Node


@dataclass(frozen=True)
class Program:
    """A traced step.

    `inputs` are leaves that are fed anew at each call, `states` leaves that live between calls
    (parameters, moments, buffers). `updates` maps a state to the node that holds its new value;
    every read in the program sees the old one. `outputs` is what a call returns: a state, an input,
    a constant or one node twice may be among them. Every other leaf is a constant with data.
    """

    inputs: tuple[Node, ...]
    states: tuple[Node, ...]
    updates: Mapping[Node, Node]
    outputs: tuple[Node, ...]
