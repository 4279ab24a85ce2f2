package web

// installationRoutes are the pages of what operators run.
func (s *site) installationRoutes() {}
