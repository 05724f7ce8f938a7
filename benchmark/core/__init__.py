"""The ground floor: what knows neither tasks nor networks. It imports nothing else of ours, and no torch."""
