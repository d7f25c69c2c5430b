"""What only one paper needs beside its network: one folder each. Shared rooms import none of them."""
