/* How tour_server serves TourService. */
#ifndef TOUR_HANDLERS_H
#define TOUR_HANDLERS_H

#include "tour.crpc.h"

/* Need no user data. */
extern const struct tour_v1_tour_service_handlers tour_handlers;

#endif
