"""How a definition is run: a projection as SQL in DuckDB, a fold as Python over Arrow batches."""
