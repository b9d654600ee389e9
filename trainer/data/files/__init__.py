"""Table files: CSV and Parquet become columns of cells. Must never know labels or features."""
