"""From a function of tensors or Values to a plan that native code runs."""
