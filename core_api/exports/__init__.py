"""
What is taken away in files: rows as CSV and Parquet, results as xAPI statements and Caliper events, sent in
bounds. It asks for nothing itself: who may have which rows, its callers say.
"""
