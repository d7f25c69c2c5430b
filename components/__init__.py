"""The TFX side: data sets, ingestion, preprocessing, training, evaluation, report, serving."""
