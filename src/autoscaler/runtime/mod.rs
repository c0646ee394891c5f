//! `eksup autoscaler run`: settings, watches, leadership, metrics, and the list of controllers.
