package web

// installationRoutes are the pages of what operators run, and of the trail.
func (s *site) installationRoutes() {
	s.auditRoutes()
	s.environmentRoutes()
	s.workerRoutes()
	s.cacheRoutes()
}
