"""What every run leaves for a person: one self-contained HTML page. Knows neither kinds of tasks nor papers."""
