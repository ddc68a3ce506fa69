"""Old readings in Parquet files, a month in each: written, read together with the store, checked.

DuckDB, the extra ``parquet``, is loaded by ``parquet.py`` alone, once a file is written or read.
"""
