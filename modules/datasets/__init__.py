"""Whole datasets on Ray: folders, webdataset tars and parquet, on one machine or a cluster (docs/datasets.md)."""
