# placeholder while the rooms are furnished; see docs
