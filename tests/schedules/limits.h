/* Included before everything in the simulator's copy of the sources: limits that a schedule draws, in place of those
 * that would take thousands of sessions and minutes to reach. */
#ifndef CANYON_TESTS_SCHEDULES_LIMITS_H
#define CANYON_TESTS_SCHEDULES_LIMITS_H

extern unsigned long long schedules_numbered, schedules_away_ns, schedules_memory_ns;

#define SESSIONS_NUMBERED schedules_numbered /* server/sessions.h */
#define SESSIONS_AWAY_NS  schedules_away_ns
#define SESSION_MEMORY_NS schedules_memory_ns /* client/session.h */

#endif
