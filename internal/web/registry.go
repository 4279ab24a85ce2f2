package web

// registryRoutes are the pages of registry credentials.
func (s *site) registryRoutes() {}
