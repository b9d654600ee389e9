"""Table files: CSV and Parquet become columns of cells. Must not know labels or features."""
