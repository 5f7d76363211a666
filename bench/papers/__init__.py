"""The suite, figures, tables and claims of a paper in one folder."""
