"""From an ordinary step, or a function of Values, to one compiled call: trace, guard, plan, run."""
