package web

// peopleRoutes are the pages of accounts, members and the audit trail.
func (s *site) peopleRoutes() {}
