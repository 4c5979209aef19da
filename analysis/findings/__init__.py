"""Diagnosis: rules with codes that read an analysis, and changes that cure what they found."""
