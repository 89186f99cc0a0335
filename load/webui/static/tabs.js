// Locust's page: its tabs are drawn by the names of these elements (extended_tabs, "component").
import "./ledger.js";
import "./latency.js";
import "./chaos.js";
import "./topology.js";
import "./verdict.js";
