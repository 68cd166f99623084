"""The site on which the apps' admin pages stand, and the pages that belong to no single model."""
