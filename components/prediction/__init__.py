"""A pushed model's answers for anybody's photographs: faces found, aligned, asked about, written as a table."""
