package web

// executionRoutes are the pages of executions and projects.
func (s *site) executionRoutes() {}
