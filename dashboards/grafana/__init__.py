"""Grafana dashboards as code. boards.py says what they show, build.py writes json/ with Grafana's own SDK.

`make docs` writes the JSON again. Import it in Grafana, or provision the folder; the data source is the variable
`datasource`, of type Prometheus. Nothing of the product imports this.
"""
